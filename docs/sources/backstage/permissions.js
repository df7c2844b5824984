// Every permission decision that a plugin asks for, as an audit event `permission-decision`: wraps the permissions service.
//
// Without the RBAC plugin Backstage writes nothing about decisions; with it, nothing about the resource or about what
// became of a conditional decision. This runs in the plugin that asks, so it sees both: `meta` holds via (which method),
// permission, action, resourceRef (if the permission is about one resource), principal (who is asking) and result. With
// via `authorize` the result is final; with `authorizeConditional` it can be CONDITIONAL: the plugin then applies the
// conditions itself. Nothing about the decisions changes, and a decision that fails is written as failed.

import { coreServices, createServiceFactory } from '@backstage/backend-plugin-api';
import { ServerPermissionClient } from '@backstage/plugin-permission-node';

export default createServiceFactory({
  service: coreServices.permissions,
  deps: {
    auditor: coreServices.auditor,
    auth: coreServices.auth,
    config: coreServices.rootConfig,
    discovery: coreServices.discovery,
  },
  factory({ auditor, auth, config, discovery }) {
    const inner = ServerPermissionClient.fromConfig(config, { auth, discovery });

    const principalOf = credentials => {
      if (credentials && auth.isPrincipal(credentials, 'user')) return credentials.principal.userEntityRef;
      if (credentials && auth.isPrincipal(credentials, 'service')) return credentials.principal.subject;
      return 'none';
    };

    const audited = via => async (queries, options) => {
      const principal = principalOf(options?.credentials);
      // What plugins ask for themselves is always allowed and very frequent: low, like Backstage's own reads.
      const severityLevel = principal.startsWith('plugin:') ? 'low' : 'medium';
      const open = ({ permission, resourceRef }) => {
        const meta = { via, permission: permission.name, action: permission.attributes.action, resourceRef, principal };
        return auditor.createEvent({ eventId: 'permission-decision', severityLevel, meta });
      };
      const events = await Promise.all(queries.map(open));
      let decisions;
      try {
        decisions = await inner[via](queries, options);
      } catch (error) {
        await Promise.all(events.map(event => event.fail({ error })));
        throw error;
      }
      await Promise.all(events.map((event, i) => event.success({ meta: { result: decisions[i].result } })));
      return decisions;
    };

    return { authorize: audited('authorize'), authorizeConditional: audited('authorizeConditional') };
  },
});
