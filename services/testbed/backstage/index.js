// A small Backstage backend without a frontend: sign-in through Keycloak, people and groups from Keycloak, RBAC, scaffolder.
// BACKSTAGE_OVERRIDES lists files (separated by commas) that export a service factory in place of Backstage's own.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { createBackend } from '@backstage/backend-defaults';

const backend = createBackend();
backend.add(import('@backstage/plugin-auth-backend'));
backend.add(import('@backstage/plugin-auth-backend-module-oidc-provider'));
backend.add(import('@backstage/plugin-catalog-backend'));
backend.add(import('@backstage/plugin-catalog-backend-module-scaffolder-entity-model'));
backend.add(import('@backstage-community/plugin-catalog-backend-module-keycloak'));
backend.add(import('@backstage-community/plugin-rbac-backend'));
backend.add(import('@backstage/plugin-scaffolder-backend'));
for (const file of (process.env.BACKSTAGE_OVERRIDES ?? '').split(',').filter(Boolean)) {
  backend.add(import(pathToFileURL(resolve(file)).href));
}
backend.start().catch(error => {
  console.error(error);
  process.exit(1);
});
