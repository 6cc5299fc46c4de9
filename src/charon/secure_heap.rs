// SPDX-License-Identifier: GPL-2.0-or-later

//! A heap for secrets, which the kernel leaves out of core dumps (MADV_DONTDUMP) and which is wiped as it
//! is freed.
//!
//! It serves what is allocated in [`on_secure_heap`], by whatever code: a parser's scratch space as well
//! as the strings that it makes. All else of the plugin stays on libc's heap, where a core dump has it and
//! valgrind watches it. The memory is not locked: it may be swapped.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use dlmalloc::Dlmalloc;

/// Runs the body; what this thread allocates meanwhile is on the secure heap until it is freed, whoever
/// frees it. What grows stays on the heap that it is on.
///
/// To be kept to what handles secrets.
pub fn on_secure_heap<R>(body: impl FnOnce() -> R) -> R {
    struct Leave(bool);

    impl Drop for Leave {
        fn drop(&mut self) {
            IS_SECURE.set(self.0);
        }
    }

    let _leave = Leave(IS_SECURE.replace(true));
    body()
}

thread_local! {
    /// Whether this thread is in [`on_secure_heap`]. Needs neither allocation nor destructor.
    static IS_SECURE: Cell<bool> = const { Cell::new(false) };
}

#[global_allocator]
static ALLOCATOR: Allocator = Allocator {
    secure: Mutex::new(Dlmalloc::new_with_allocator(Regions)),
};

/// The allocator of all of the plugin's Rust code.
struct Allocator {
    secure: Mutex<Dlmalloc<Regions>>,
}

impl Allocator {
    /// Nothing is called while it is held that could lock or allocate.
    fn secure(&self) -> MutexGuard<'_, Dlmalloc<Regions>> {
        // dlmalloc does not panic; if it did, its debug assertions would have found it broken.
        self.secure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// SAFETY: each of both heaps is an allocator by itself, and gets back only what it has given: nothing of
// libc's is in a region of ours, and all of the secure heap is.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the layout is the caller's, with its promises.
        unsafe {
            if IS_SECURE.get() {
                self.secure().malloc(layout.size(), layout.align())
            } else {
                System.alloc(layout)
            }
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as in alloc().
        unsafe {
            if IS_SECURE.get() {
                self.secure().calloc(layout.size(), layout.align())
            } else {
                System.alloc_zeroed(layout)
            }
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: by the caller's promise, the memory was allocated here with that layout, and is its own.
        unsafe {
            if is_secure(memory) {
                wipe(memory, layout.size());
                self.secure().free(memory, layout.size(), layout.align());
            } else {
                System.dealloc(memory, layout);
            }
        }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as in dealloc(); what is new does not overlap, and has room for the shorter of both.
        unsafe {
            if !is_secure(memory) {
                return System.realloc(memory, layout, size);
            }
            // dlmalloc's own would leave what was in the former place.
            let new = self.secure().malloc(size, layout.align());
            if !new.is_null() {
                new.copy_from_nonoverlapping(memory, size.min(layout.size()));
                self.dealloc(memory, layout);
            }
            new
        }
    }
}

/// From how many bytes on pages are given back to the system, which is quicker than to wipe them; libc
/// does so from here on, too.
const LARGE: usize = 128 * 1024;

/// Overwrites it, so that nothing of it is left.
///
/// # Safety
/// The memory must be of the secure heap, and the caller's.
unsafe fn wipe(memory: *mut u8, size: usize) {
    let page = page_size();
    let before = memory.addr().next_multiple_of(page) - memory.addr();
    let pages = size.saturating_sub(before) / page * page;
    // SAFETY: all of it is the caller's. Whole pages of a private anonymous mapping that are given back are
    // zeros when they are touched again.
    unsafe {
        let given_back = pages >= LARGE
            && libc::madvise(memory.add(before).cast(), pages, libc::MADV_DONTNEED) == 0;
        if given_back {
            libc::explicit_bzero(memory.cast(), before);
            libc::explicit_bzero(memory.add(before + pages).cast(), size - before - pages);
        } else {
            libc::explicit_bzero(memory.cast(), size);
        }
    }
}

fn page_size() -> usize {
    // SAFETY: a question without arguments.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    size.try_into().expect("Linux tells the size of its pages")
}

/// The mappings of the secure heap, from first to last; begin and end, which are never changed again. They
/// stay for ever, so that an address tells its heap without a lock.
static REGIONS: [(AtomicUsize, AtomicUsize); 24] =
    [const { (AtomicUsize::new(0), AtomicUsize::new(0)) }; 24];

/// Size of the first region in bytes, which is address space only, until it is used. Each one is at least
/// twice as large as the one before it, so that there are never many.
const FIRST_REGION: usize = 1 << 20;

/// Whether memory that is in use is of the secure heap.
fn is_secure(memory: *mut u8) -> bool {
    for (begin, end) in &REGIONS {
        // Who got memory of a region has seen that the region is there.
        match end.load(Ordering::Acquire) {
            0 => return false,
            end if memory.addr() < end && memory.addr() >= begin.load(Ordering::Relaxed) => {
                return true;
            }
            _ => {}
        }
    }
    false
}

/// Where the secure heap gets its memory from.
struct Regions;

// SAFETY: alloc() gives new mappings, which nobody else has and which stay.
unsafe impl dlmalloc::Allocator for Regions {
    fn alloc(&self, size: usize) -> (*mut u8, usize, u32) {
        let none = (ptr::null_mut(), 0, 0);
        let mut least = FIRST_REGION;
        // Under the heap's lock: nobody else takes the place.
        for (begin, end) in &REGIONS {
            if end.load(Ordering::Relaxed) != 0 {
                least = least.saturating_mul(2);
                continue;
            }
            let size = size.max(least).next_multiple_of(page_size());
            // SAFETY: a new mapping, of which nothing else is asked than to stay out of core dumps.
            let memory = unsafe {
                let memory = libc::mmap(
                    ptr::null_mut(),
                    size,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                    -1,
                    0,
                );
                if memory == libc::MAP_FAILED {
                    return none;
                }
                // A kernel that does not know it dumps it, which is no reason to do without secrets.
                libc::madvise(memory, size, libc::MADV_DONTDUMP);
                memory.cast::<u8>()
            };
            begin.store(memory.addr(), Ordering::Relaxed);
            end.store(memory.addr() + size, Ordering::Release);
            return (memory, size, 0);
        }
        none
    }

    fn remap(&self, _: *mut u8, _: usize, _: usize, _: bool) -> *mut u8 {
        ptr::null_mut()
    }

    fn free_part(&self, _: *mut u8, _: usize, _: usize) -> bool {
        false
    }

    fn free(&self, _: *mut u8, _: usize) -> bool {
        false
    }

    fn can_release_part(&self, _: u32) -> bool {
        false
    }

    fn allocates_zeros(&self) -> bool {
        // Not after it was used and given back.
        false
    }

    fn page_size(&self) -> usize {
        page_size()
    }
}
