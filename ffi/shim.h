/* SPDX-License-Identifier: GPL-2.0-or-later */

/* The parts of charon's C interface that Rust cannot express. */

#ifndef EXTSOCK_SHIM_H_
#define EXTSOCK_SHIM_H_

#include <bus/listeners/listener.h>
#include <plugins/plugin_feature.h>

/**
 * listener_t.alert: takes a va_list, whose ABI differs by architecture. Drops it and calls
 * extsock_on_alert().
 */
bool extsock_alert(listener_t *this, ike_sa_t *ike_sa, alert_t alert, va_list args);

/**
 * Implemented in Rust (src/charon/listener.rs).
 */
bool extsock_on_alert(listener_t *this, ike_sa_t *ike_sa, alert_t alert);

/**
 * plugin_t.get_features: the entries are made by charon's own macros.
 */
int extsock_get_features(plugin_t *this, plugin_feature_t *features[]);

/**
 * Called on registration and deregistration of the feature; implemented in Rust
 * (src/charon/plugin.rs).
 */
bool extsock_on_feature(plugin_t *plugin, plugin_feature_t *feature, bool reg, void *data);

/**
 * Whether a plugin that reads PKCS#12 containers is loaded; a feature is made by charon's own macros.
 */
bool extsock_decodes_pkcs12();

/**
 * The identity or, from strongSwan 6.0.2 on, the regular expression that a string tells, as swanctl's `id`;
 * NULL for a regular expression that is not valid.
 */
identification_t *extsock_identity(char *string);

#endif /** EXTSOCK_SHIM_H_ */
