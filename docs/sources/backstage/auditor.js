// Backstage's audit events with a time and an id: replaces the auditor service, for every plugin at once.
//
// Backstage writes `initiated` and then `succeeded` or `failed` without a time and without anything that joins the
// lines. Here each line gets `timestamp` (ISO 8601, UTC, when it was written) and each event one `auditId`, the same on
// all its lines. Everything else is as Backstage's own auditor makes it: one JSON line on standard output, written
// through the root logger, so that `backend.logger` settings hold and secrets of the configuration stay redacted.

import { randomUUID } from 'node:crypto';
import { DefaultAuditorService } from '@backstage/backend-defaults/auditor';
import { coreServices, createServiceFactory } from '@backstage/backend-plugin-api';

// Backstage's defaults for backend.auditor.severityLogLevelMappings.
const DEFAULT_LEVELS = { low: 'debug', medium: 'info', high: 'info', critical: 'info' };

export default createServiceFactory({
  service: coreServices.auditor,
  deps: {
    auth: coreServices.auth,
    config: coreServices.rootConfig,
    httpAuth: coreServices.httpAuth,
    logger: coreServices.logger,
    plugin: coreServices.pluginMetadata,
  },
  factory({ auth, config, httpAuth, logger, plugin }) {
    const lines = logger.child({ isAuditEvent: true });
    const levels = {};
    for (const [severity, level] of Object.entries(DEFAULT_LEVELS)) {
      const key = `backend.auditor.severityLogLevelMappings.${severity}`;
      levels[severity] = config.getOptionalString(key) ?? level;
      if (!['debug', 'info', 'warn', 'error'].includes(levels[severity])) throw new Error(`${key} is no log level`);
    }
    return {
      async createEvent(options) {
        const auditId = randomUUID();
        const write = ({ error, ...event }) => {
          const line = { timestamp: new Date().toISOString(), auditId, ...event };
          const level = levels[event.severityLevel];
          const message = `${event.plugin}.${event.eventId}`;
          // As Backstage does: the logger turns an error into the keys `name` and `stack` of the line.
          if (error) lines.child(line)[level](message, error);
          else lines[level](message, line);
        };
        return DefaultAuditorService.create(write, { auth, httpAuth, plugin }).createEvent(options);
      },
    };
  },
});
