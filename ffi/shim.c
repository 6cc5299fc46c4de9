/* SPDX-License-Identifier: GPL-2.0-or-later */

#include "shim.h"

#include <library.h>

bool extsock_alert(listener_t *this, ike_sa_t *ike_sa, alert_t alert, va_list args)
{
	return extsock_on_alert(this, ike_sa, alert);
}

int extsock_get_features(plugin_t *this, plugin_feature_t *features[])
{
	/* charon keeps the array for good. The SA managers outlive what depends on them; vici is
	 * deliberately absent, the plugin works before, after and without it. */
	static plugin_feature_t list[] = {
		PLUGIN_CALLBACK(extsock_on_feature, NULL),
			PLUGIN_PROVIDE(CUSTOM, "extsock"),
				PLUGIN_DEPENDS(CUSTOM, "libcharon-sa-managers"),
	};
	*features = list;
	return countof(list);
}

bool extsock_decodes_pkcs12()
{
	plugin_feature_t feature = PLUGIN_PROVIDE(CONTAINER_DECODE, CONTAINER_PKCS12);

	return lib->plugins->has_feature(lib->plugins, feature);
}

/* Of 6.0.2 and later. Weak, so that an older libstrongswan is told by the plugin's own check and not by
 * the dynamic linker, which would not load the plugin. */
identification_t *identification_create_from_string_with_regex(char *string) __attribute__((weak));

identification_t *extsock_identity(char *string)
{
	if (identification_create_from_string_with_regex)
	{
		return identification_create_from_string_with_regex(string);
	}
	return identification_create_from_string(string);
}
