-- Receipts that could not be understood, and records on Kafka's topic that are no receipts at all: those have no stream, and `place`
-- says where on the topic they lie. A later normaliser that understands a receipt takes it off this list.
CREATE OR REPLACE VIEW {database}.dead_letters {on_cluster} DEFINER = CURRENT_USER SQL SECURITY DEFINER AS
SELECT tenant, lower(hex(stream)) AS stream, seq, lower(hex(commitment)) AS commitment, source_id, source_kind, input, payload, reason, received_at, native_id, normaliser, '' AS place
FROM {database}.receipts WHERE fate = 'dead'
UNION ALL
SELECT tenant, '' AS stream, toUInt64(0) AS seq, '' AS commitment, source_id, '' AS source_kind, input, '' AS payload, cause AS reason, since AS received_at, '' AS native_id, toUInt32(0) AS normaliser, toString(scope) AS place
FROM {database}.gaps WHERE cause = 'record_unreadable';
