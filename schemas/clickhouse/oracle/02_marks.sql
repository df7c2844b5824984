-- The oracle, 2 of 7: evidence. A history ("book") is told apart by who holds and what is held; events leave marks in it, and reads say
-- what was listed. A value begins with '='; an empty text says that there is none.

-- How the evidence of a book is read: from which list; whether an event also says how it was just before (of sources that tell only
-- what changes something); whether what a read does not list was not there (else such a read says nothing).
CREATE TABLE {oracle}.books ENGINE = Memory AS
SELECT b.1 AS book, b.2 AS list, b.3 AS changes_only, b.4 AS absence_counts FROM (SELECT arrayJoin([
    ('user', 'users', 1, 1), ('enabled', 'users', 0, 0), ('group', 'groups', 1, 1), ('called', 'groups', 0, 0), ('parent', 'groups', 0, 0),
    ('role', 'roles', 1, 1), ('default_group', 'default_groups', 0, 1), ('member', 'members', 1, 1), ('user_role', 'user_roles', 0, 1),
    ('group_role', 'group_roles', 0, 1), ('composite', 'composites', 0, 1), ('catalog_user', 'users', 0, 1),
    ('catalog_group', 'groups', 0, 1), ('catalog_parent', 'groups', 0, 1), ('catalog_member', 'catalog_members', 0, 1),
    ('role_member', 'role_members', 0, 1), ('policy', 'policies', 0, 1), ('policies_known', 'policies', 0, 1)]) AS b);

-- What events say. Order within a millisecond: what was read (0), changes (1).
CREATE TABLE {oracle}.marks
(tenant String, book String, source String, within String, holder String, held String, at Int64, rank UInt8, event String, says String, doer String)
ENGINE = Memory;

-- What complete reads listed.
CREATE TABLE {oracle}.listed
(tenant String, book String, source String, within String, snapshot String, holder String, held String, says String)
ENGINE = Memory;

INSERT INTO {oracle}.listed SELECT DISTINCT s.tenant, e.1, s.source, r.within, s.snapshot, e.2, e.3, e.4
FROM (
    SELECT tenant, source, snapshot, realm, area, arrayJoin(multiIf(
        area = 'users', [('user', user, '', '=1'), ('enabled', user, '', if(details['enabled'] = 'false', '=false', '=true'))],
        area = 'groups', [('group', right_id, '', '=1'), ('called', right_id, '', concat('=', arrayLast(x -> x != '', splitByChar('/', right_name)))),
            ('parent', right_id, '', concat('=', details['parent_id']))],
        area = 'roles', [('role', right_id, '', '=1')],
        area = 'members', [('member', user, right_id, '=1')],
        area = 'role_users', [('user_role', user, right_id, '=1')],
        area = 'role_groups', [('group_role', holder_id, right_id, '=1')],
        area = 'composites', [('composite', holder_id, right_id, '=1')],
        area = 'catalog_users', if(user = '', [], [('catalog_user', name, '', concat('=', user))]),
        area = 'catalog_groups', arrayConcat(if(details['keycloak_id'] = '', [], [('catalog_group', right_id, '', concat('=', details['keycloak_id']))]),
            if(details['parent'] = '', [], [('catalog_parent', right_id, '', concat('=', details['parent']))])),
        area = 'catalog_members', [('catalog_member', lower(name), lower(right_id), '=1')],
        area = 'rbac_members', [('role_member', lower(if(holder_id = '', name, holder_id)), lower(right_id), '=1')],
        area IN ('rbac_policies', 'rbac_conditions'), [('policy', lower(holder_id), concat(right_name, '|',
            arrayStringConcat(arraySort(arrayDistinct(arrayMap(x -> trim(x), splitByRegexp('[,+]', details['policy_action'])))), ','), '|', details['effect']), '=1')],
        [])) AS e
    FROM {oracle}.stated
) AS s
INNER JOIN {oracle}.books AS b ON b.book = e.1
INNER JOIN {oracle}.reads AS r ON r.tenant = s.tenant AND r.source = s.source AND r.snapshot = s.snapshot AND r.realm = s.realm AND r.list = b.list;

INSERT INTO {oracle}.listed SELECT DISTINCT s.tenant, 'default_group', s.source, r.within, s.snapshot, r.within, s.right_id, '=1'
FROM (SELECT * FROM {oracle}.stated WHERE area = 'default_groups') AS s
INNER JOIN {oracle}.reads AS r ON r.tenant = s.tenant AND r.source = s.source AND r.snapshot = s.snapshot AND r.realm = s.realm AND r.list = 'default_groups';

INSERT INTO {oracle}.listed SELECT tenant, 'policies_known', source, within, snapshot, source, '', '=1' FROM {oracle}.reads WHERE list = 'policies';

-- Keycloak's users and groups.
INSERT INTO {oracle}.marks SELECT tenant, m.1, source, within, m.2, m.3, at, 1, event, m.4, doer
FROM (
    SELECT *, arrayJoin(multiIf(
        kind IN ('user_created', 'user_registered'), arrayConcat([('user', user, '', '=1')],
            if(details['enabled'] = '' OR kind = 'user_registered', [], [('enabled', user, '', if(details['enabled'] = 'true', '=true', '=false'))])),
        kind = 'user_updated', if(details['enabled'] = '', [], [('enabled', user, '', if(details['enabled'] = 'true', '=true', '=false'))]),
        kind = 'user_locked_permanently', [('enabled', user, '', '=false')],
        kind = 'user_deleted', [('user', user, '', '')],
        kind = 'group_deleted', [('group', right_id, '', '')],
        kind IN ('group_created', 'group_moved', 'group_updated'), arrayConcat(
            if(kind = 'group_created', [('group', right_id, '', '=1')], []),
            if(right_name = '', [], [('called', right_id, '', concat('=', arrayLast(x -> x != '', splitByChar('/', right_name))))]),
            multiIf(details['parent_id'] = 'none', [('parent', right_id, '', '=')], details['parent_id'] != '', [('parent', right_id, '', concat('=', details['parent_id']))],
                kind = 'group_created', [('parent', right_id, '', '=')], [])),
        kind IN ('default_group_added', 'default_group_removed'), [('default_group', within, right_id, if(kind = 'default_group_added', '=1', ''))],
        kind IN ('role_granted', 'role_revoked') AND right_change IN ('granted', 'revoked') AND (holder_kind = 'group' OR (holder_kind = '' AND user != '')),
            [(if(holder_kind = 'group', 'group_role', 'user_role'), if(holder_kind = 'group', holder_id, user),
                if(right_id = '', concat('name:', right_name), right_id), if(right_change = 'granted', '=1', ''))],
        kind IN ('composite_added', 'composite_removed') AND right_change IN ('granted', 'revoked') AND details['holder_named_by'] != 'name',
            [('composite', holder_id, if(right_id = '', concat('name:', right_name), right_id), if(right_change = 'granted', '=1', ''))],
        kind = 'role_deleted' AND right_id != '', [('role', right_id, '', '')],
        [])) AS m
    FROM {oracle}.told WHERE source_kind = 'keycloak' AND outcome != 'failure'
);

-- Under which name a role was first told or read: `client:name`, of a role of the realm `:name`. Some events name a role by that alone.
CREATE TABLE {oracle}.role_names ENGINE = Memory AS
SELECT tenant, source, within, named, role, min(first) AS first FROM (
    SELECT tenant, source, within, concat(if(kind LIKE 'composite%', if(details['role_kind'] = 'client_role', details['role_container'], ''), details['role_client_uuid']), ':', right_name) AS named,
        right_id AS role, (at, 1, event) AS first
    FROM {oracle}.told
    WHERE kind IN ('role_granted', 'role_revoked', 'composite_added', 'composite_removed') AND outcome != 'failure' AND right_id != '' AND right_name != ''
        AND (kind LIKE 'composite%' OR holder_kind = 'group' OR (holder_kind = '' AND user != ''))
        AND if(kind LIKE 'composite%', details['role_kind'] = 'realm_role' OR (details['role_kind'] = 'client_role' AND details['role_container'] != ''),
            right_kind != 'client_role' OR details['role_client_uuid'] != '')
    UNION ALL
    SELECT s.tenant, s.source, r.within, concat(s.details['role_client_uuid'], ':', s.right_name), s.right_id, (r.begin, 0, r.event)
    FROM (SELECT * FROM {oracle}.stated WHERE area = 'roles') AS s
    INNER JOIN {oracle}.reads AS r ON r.tenant = s.tenant AND r.source = s.source AND r.snapshot = s.snapshot AND r.realm = s.realm AND r.list = 'roles'
) GROUP BY tenant, source, within, named, role;

-- A role that ends by name ends the roles that went by that name before.
INSERT INTO {oracle}.marks SELECT DISTINCT t.tenant, 'role', t.source, t.within, n.role, '', t.at, 1, t.event, '', t.doer
FROM (SELECT *, concat(details['role_client_uuid'], ':', right_name) AS named FROM {oracle}.told WHERE kind = 'role_deleted' AND right_id = '' AND outcome != 'failure') AS t
INNER JOIN {oracle}.role_names AS n ON n.tenant = t.tenant AND n.source = t.source AND n.within = t.within AND n.named = t.named
WHERE n.first < (t.at, 1, t.event);

-- Under which path a group was first seen: a new user's representation names groups by path alone.
CREATE TABLE {oracle}.paths ENGINE = Memory AS
SELECT tenant, source, path, right_id AS grp, min(first) AS first FROM (
    SELECT tenant, source, right_name AS path, right_id, at AS first FROM {oracle}.told
    WHERE startsWith(right_name, '/') AND right_id != '' AND outcome != 'failure'
        AND kind IN ('group_member_added', 'group_member_removed', 'group_created', 'group_moved', 'group_updated')
    UNION ALL
    SELECT s.tenant, s.source, s.right_name, s.right_id, r.begin FROM (SELECT * FROM {oracle}.stated WHERE area = 'groups') AS s
    INNER JOIN {oracle}.reads AS r ON r.tenant = s.tenant AND r.source = s.source AND r.snapshot = s.snapshot AND r.realm = s.realm AND r.list = 'groups'
) GROUP BY tenant, source, path, grp;

INSERT INTO {oracle}.marks SELECT t.tenant, 'member', t.source, t.within, t.user,
    multiIf(t.right_id != '', t.right_id, countIf(p.first <= t.at AND p.grp != '') > 0, argMaxIf(p.grp, (p.first, p.grp), p.first <= t.at AND p.grp != ''),
        countIf(p.grp != '') > 0, argMinIf(p.grp, (p.first, p.grp), p.grp != ''), t.right_name),
    t.at, 1, t.event, if(t.kind = 'group_member_added', '=1', ''), t.doer
FROM (SELECT * FROM {oracle}.told WHERE kind IN ('group_member_added', 'group_member_removed') AND outcome != 'failure') AS t
LEFT JOIN {oracle}.paths AS p ON p.tenant = t.tenant AND p.source = t.source AND p.path = t.right_name AND t.right_id = ''
GROUP BY t.tenant, t.source, t.within, t.user, t.right_id, t.right_name, t.at, t.event, t.kind, t.doer;

-- What groups were seen to be called in passing: a membership names its group as it is called then. Of each name the first time and the last.
-- A group that is told by nothing but its path is called so.
CREATE TABLE {oracle}.passing ENGINE = Memory AS
SELECT tenant, source, within, grp, says, seen.1 AS at, seen.2 AS event FROM (
    SELECT tenant, source, min(within) AS within, grp, says, arrayJoin(arrayDistinct([min((at, event)), max((at, event))])) AS seen FROM (
        SELECT t.tenant AS tenant, t.source AS source, t.within AS within, t.at AS at, t.event AS event, if(t.right_id != '', t.right_id, t.right_name) AS grp,
            concat('=', arrayLast(x -> x != '', splitByChar('/', t.right_name))) AS says
        FROM {oracle}.told AS t
        WHERE t.kind IN ('group_member_added', 'group_member_removed') AND t.outcome != 'failure' AND startsWith(t.right_name, '/')
    ) GROUP BY tenant, source, grp, says
);

-- Backstage's roles and policies.
INSERT INTO {oracle}.marks SELECT tenant, 'role_member', source, source, if(name = '', holder_id, name), lower(right_id), at, 1, event,
    if(kind = 'backstage_role_member_added', '=1', ''), doer
FROM {oracle}.told WHERE kind IN ('backstage_role_member_added', 'backstage_role_member_removed');

INSERT INTO {oracle}.marks SELECT tenant, b.1, source, source, b.2, b.3, at, 1, event, b.4, doer
FROM (
    SELECT *, concat(if(permission = '', right_name, permission), '|',
            arrayStringConcat(arraySort(arrayDistinct(arrayMap(x -> trim(x), splitByRegexp('[,+]', details['policy_action'])))), ','), '|', details['effect']) AS policy,
        arrayJoin([('policy', lower(holder_id), policy, if(endsWith(kind, '_added'), '=1', '')), ('policies_known', source, '', '=1')]) AS b
    FROM {oracle}.told
    WHERE kind IN ('backstage_policy_added', 'backstage_policy_removed', 'backstage_condition_added', 'backstage_condition_removed')
);

-- A line that names all members of a role says of everybody else that they are none.
INSERT INTO {oracle}.marks SELECT DISTINCT t.tenant, 'role_member', t.source, t.source, m.holder, m.held, t.at, 0, t.event, '', ''
FROM (SELECT * FROM {oracle}.told WHERE kind = 'backstage_role_changed' AND details['members'] = 'complete' AND outcome != 'failure') AS t
INNER JOIN (
    SELECT tenant, source, holder, held FROM {oracle}.marks WHERE book = 'role_member'
    UNION DISTINCT SELECT tenant, source, holder, held FROM {oracle}.listed WHERE book = 'role_member'
) AS m ON m.tenant = t.tenant AND m.source = t.source AND m.held = lower(t.right_id)
WHERE (m.tenant, m.source, m.holder, m.held, t.at) NOT IN (
    SELECT tenant, source, holder, held, at FROM {oracle}.marks WHERE book = 'role_member' AND says != '');
