# SPDX-License-Identifier: GPL-2.0-or-later

# How the package libcharon-extsock-plugin is built and filled, for debian/rules of this source package and
# for that of strongSwan with this checkout in its tree. Set before:
#   extsock         this checkout
#   STRONGSWAN_SRC  the configured source tree of the strongSwan that it is for

export STRONGSWAN_SRC
# charon's directories, as Debian configures them.
export STRONGSWAN_PIDDIR = /var/run
export STRONGSWAN_SYSCONFDIR = /etc

export CARGO_TARGET_DIR ?= $(extsock)/target
export CARGO_HOME ?= $(HOME)/.cargo
# dh_strip takes the symbols away, into the package for debugging.
export CARGO_PROFILE_RELEASE_STRIP = none
export CARGO_PROFILE_RELEASE_DEBUG = line-tables-only
# No paths of the machine that builds in what it builds.
export RUSTFLAGS = --remap-path-prefix=$(extsock)=/usr/src/extsock --remap-path-prefix=$(CARGO_HOME)=/usr/src/cargo

conf := $(STRONGSWAN_SRC)/conf
format := python3 $(conf)/format-options.py
destination := $(CURDIR)/debian/libcharon-extsock-plugin
share := $(destination)/usr/share
doc := $(share)/doc/libcharon-extsock-plugin

.PHONY: extsock-build extsock-install extsock-permissions

extsock-build:
	cd $(extsock) && cargo build --release --locked --package extsock --package extsockctl
	cd $(extsock) && cargo run --release --locked --package xtask -- manual
	cd $(extsock) && cargo run --release --locked --package xtask -- notices
	sed 's:@PLUGIN_NAME@:extsock:' $(conf)/default.opt | cat - $(extsock)/conf/extsock.opt | \
		$(format) -f conf -r charon.plugins > $(extsock)/target/extsock.conf
	$(format) -f man $(extsock)/conf/extsock.opt | \
		cat $(extsock)/debian/extsock.conf.5.head - > $(extsock)/target/extsock.conf.5

extsock-install:
	install -D -m 644 $(CARGO_TARGET_DIR)/release/libextsock.so \
		$(destination)/usr/lib/ipsec/plugins/libstrongswan-extsock.so
	install -D $(CARGO_TARGET_DIR)/release/extsockctl $(destination)/usr/bin/extsockctl
	install -D -m 644 $(extsock)/target/extsock.conf $(destination)/etc/strongswan.d/charon/extsock.conf
	install -D -m 644 $(extsock)/target/extsock.conf $(share)/strongswan/templates/config/plugins/extsock.conf
	install -d $(destination)/etc/extsock.d
	install -D -m 644 $(extsock)/debian/apparmor $(destination)/etc/apparmor.d/abstractions/extsock
	install -D -m 644 -t $(share)/man/man1 $(extsock)/target/extsockctl/*.1
	install -D -m 644 -t $(share)/man/man5 $(extsock)/target/extsock.conf.5
	cd $(extsock)/target/extsockctl && \
		install -D -m 644 extsockctl.bash $(share)/bash-completion/completions/extsockctl && \
		install -D -m 644 _extsockctl $(share)/zsh/vendor-completions/_extsockctl && \
		install -D -m 644 extsockctl.fish $(share)/fish/vendor_completions.d/extsockctl.fish
	install -d $(doc)
	cp -r $(extsock)/README.md $(extsock)/docs/* $(extsock)/target/crates $(doc)

# Files there may hold secrets.
extsock-permissions:
	chmod 700 $(destination)/etc/extsock.d
