/* SPDX-License-Identifier: GPL-2.0-or-later */

/*
 * Preloaded into a gateway's charon: it answers IKE_AUTH with REDIRECT to GATEWAY (RFC 5685, section 6).
 * Only a plugin can ask charon for that. This one needs no headers: it takes the place of what makes charon's
 * redirect manager, and exchanges one method of it, whose members are the same in all supported versions.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>

typedef struct identification identification_t;

/* sa/redirect_manager.h */
typedef struct redirect_manager redirect_manager_t;
struct redirect_manager {
	void (*add_provider)(redirect_manager_t *, void *provider);
	void (*remove_provider)(redirect_manager_t *, void *provider);
	bool (*redirect_on_init)(redirect_manager_t *, void *ike_sa, identification_t **gateway);
	bool (*redirect_on_auth)(redirect_manager_t *, void *ike_sa, identification_t **gateway);
	void (*destroy)(redirect_manager_t *);
};

/* libstrongswan */
identification_t *identification_create_from_string(char *string);

static bool redirect_on_auth(redirect_manager_t *this, void *ike_sa, identification_t **gateway)
{
	(void)this;
	(void)ike_sa;
	*gateway = identification_create_from_string(GATEWAY);
	return true;
}

redirect_manager_t *redirect_manager_create(void)
{
	redirect_manager_t *(*create)(void) = dlsym(RTLD_NEXT, "redirect_manager_create");
	redirect_manager_t *manager = create();

	manager->redirect_on_auth = redirect_on_auth;
	return manager;
}
