/* SPDX-License-Identifier: GPL-2.0-or-later */

/* What bindgen reads. build.rs includes charon's own config.h before it, so that every
 * #ifdef in these headers is decided as it was when charon was built. */

#include <daemon.h>
#include <library.h>
#include <bus/listeners/listener.h>
#include <collections/linked_list.h>
#include <config/backend.h>
#include <config/child_cfg.h>
#include <config/ike_cfg.h>
#include <config/peer_cfg.h>
#include <control/controller.h>
#include <credentials/builder.h>
#include <credentials/cert_validator.h>
#include <credentials/certificates/x509.h>
#include <credentials/containers/pkcs12.h>
#include <credentials/keys/private_key.h>
#include <credentials/keys/shared_key.h>
#include <credentials/sets/callback_cred.h>
#include <credentials/sets/mem_cred.h>
#include <eap/eap.h>
#include <kernel/kernel_listener.h>
#include <networking/host.h>
#include <networking/streams/stream_service.h>
#include <plugins/plugin.h>
#include <processing/jobs/callback_job.h>
#include <sa/ike_sa.h>
#include <sa/ikev2/tasks/ike_dpd.h>
#include <sa/task.h>
#include <selectors/traffic_selector.h>

#include "shim.h"
