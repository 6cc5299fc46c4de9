# SPDX-License-Identifier: GPL-2.0-or-later

# What debian/rules of this source package and that of strongSwan, with this checkout in its tree, have in
# common. Set before:
#   extsock         this checkout
#   STRONGSWAN_SRC  the configured source tree of the strongSwan that it is for

export CARGO_HOME ?= $(HOME)/.cargo
# Apart from what cargo leaves in target/ when it is run by hand.
export CARGO_TARGET_DIR ?= $(extsock)/target/debian
# dh_strip takes the symbols away, into the package for debugging.
export CARGO_PROFILE_RELEASE_STRIP = none
export CARGO_PROFILE_RELEASE_DEBUG = line-tables-only
# No paths of the machine that builds in what it builds; the others are those of .cargo/config.toml, which
# these replace.
export RUSTFLAGS = -C relro-level=partial -C link-arg=-Wl,-z,now \
	--remap-path-prefix=$(extsock)=/usr/src/extsock \
	--remap-path-prefix=$(CARGO_HOME)=/usr/src/cargo

# Crates that `cargo vendor` has left in the checkout are used, and nothing is fetched.
cargo := cargo $(if $(wildcard $(extsock)/vendor),--config $(extsock)/.cargo/vendored.toml)

package := $(CURDIR)/debian/libcharon-extsock-plugin
share := $(package)/usr/share
doc := $(share)/doc/libcharon-extsock-plugin
options := python3 $(STRONGSWAN_SRC)/conf/format-options.py

.PHONY: extsock-extras extsock-install-extras extsock-permissions

# Manual pages, completions and the licences of crates.
extsock-extras:
	cd $(extsock) && $(cargo) run --locked --package xtask -- manual
	cd $(extsock) && $(cargo) run --locked --package xtask -- notices
	$(options) -f man $(extsock)/extsock.opt | cat $(extsock)/debian/extsock.conf.5.head - \
		> $(extsock)/target/extsock.conf.5

extsock-install-extras:
	install -d $(package)/etc/extsock.d
	install -D -m 644 $(extsock)/debian/apparmor $(package)/etc/apparmor.d/abstractions/extsock
	install -D -m 644 -t $(share)/man/man1 $(extsock)/target/extsockctl/*.1
	install -D -m 644 -t $(share)/man/man5 $(extsock)/target/extsock.conf.5
	cd $(extsock)/target/extsockctl && \
		install -D -m 644 extsockctl.bash $(share)/bash-completion/completions/extsockctl && \
		install -D -m 644 _extsockctl $(share)/zsh/vendor-completions/_extsockctl && \
		install -D -m 644 extsockctl.fish $(share)/fish/vendor_completions.d/extsockctl.fish
	install -d $(doc)
	cp -r $(extsock)/docs/* $(extsock)/target/crates $(doc)

# Files there may hold secrets.
extsock-permissions:
	chmod 700 $(package)/etc/extsock.d

# The guide's pages link to each other and to its examples.
override_dh_compress:
	dh_compress --exclude=.md --exclude=.json

# Crates beside the sources have files that it would take for leftovers of patches. What else a checkout has
# in target/ was not made here, and stays.
override_dh_clean:
	dh_clean --exclude=.orig
	cd $(extsock) && rm -rf target/debian target/extsockctl target/crates target/extsock.conf target/extsock.conf.5
	cd $(extsock) && test ! -d target || rmdir --ignore-fail-on-non-empty target
