//! What an error of the brokers means to whoever runs them, with the remedy. The code stays, for a search in Kafka's own
//! documentation.

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

/// What a client is there for: the rights that it needs follow from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Puts records on a topic.
    Sends,
    /// Reads a topic in a group, or asks how far the group is.
    Reads,
}

/// Says an error in words.
pub(super) fn meaning(error: &KafkaError, role: Role) -> String {
    let Some(code) = error.rdkafka_error_code() else { return error.to_string() };
    remedy(code, role).map_or_else(|| code.to_string(), |remedy| format!("{code}: {remedy}"))
}

/// True if our user has not its rights on the topic.
pub(super) fn is_refused_topic(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::TopicAuthorizationFailed)
}

/// True if our user has not its rights on the group.
pub(super) fn is_refused_group(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::GroupAuthorizationFailed)
}

fn remedy(code: RDKafkaErrorCode, role: Role) -> Option<&'static str> {
    use RDKafkaErrorCode as Code;
    let remedy = match (code, role) {
        (Code::TopicAuthorizationFailed, Role::Sends) => {
            "the brokers refuse our user this topic: give it the rights Write and Describe on it"
        }
        (Code::TopicAuthorizationFailed, Role::Reads) => {
            "the brokers refuse our user this topic: give it the rights Read and Describe on it"
        }
        (Code::GroupAuthorizationFailed, _) => {
            "the brokers refuse our user this group: give processors the right Read on it, collectors Describe"
        }
        (Code::ClusterAuthorizationFailed, _) => "the brokers refuse our user: give it the right IdempotentWrite",
        (Code::SaslAuthenticationFailed | Code::Authentication, _) => {
            "the brokers do not know our user or its password: look at kafka.sasl"
        }
        (Code::KafkaStorageError, _) => {
            "a broker cannot write to its disk: make room there, and start the broker again if it has stopped"
        }
        (Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend, _) => {
            "too few brokers have the partition: start those that are down"
        }
        (Code::AllBrokersDown | Code::BrokerTransportFailure, _) => {
            "no broker can be reached: see whether they run, and whether one has stopped because its disk is full"
        }
        (Code::BadMessage | Code::BadCompression | Code::InvalidMessage, Role::Reads) => {
            "a broker holds damaged bytes: look at its disk; what is passed for it is told as lost"
        }
        (Code::MessageSizeTooLarge, Role::Sends) => {
            "the brokers take no record of this size: raise max.message.bytes of the topic to 10485760 (docs/kafka.md)"
        }
        (Code::UnknownPartition | Code::LeaderNotAvailable, _) => {
            "no broker leads a partition: start those that are down"
        }
        (Code::MessageTimedOut, Role::Sends) => "no broker took it in time: see whether those run that lead the topic",
        _ => return None,
    };
    Some(remedy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_with_who_needs_it() {
        let error = KafkaError::MessageProduction(RDKafkaErrorCode::TopicAuthorizationFailed);
        let sends = meaning(&error, Role::Sends);
        assert!(sends.starts_with("TopicAuthorizationFailed") && sends.contains("Write and Describe"), "{sends}");
        let reads = meaning(&error, Role::Reads);
        assert!(reads.contains("Read and Describe") && !reads.contains("Write"), "{reads}");
        assert!(is_refused_topic(&error) && !is_refused_group(&error));
    }

    #[test]
    fn what_has_no_remedy_of_its_own_keeps_its_code() {
        let error = KafkaError::Global(RDKafkaErrorCode::InvalidTimestamp);
        assert_eq!(meaning(&error, Role::Sends), RDKafkaErrorCode::InvalidTimestamp.to_string());
        assert_eq!(meaning(&KafkaError::Canceled, Role::Reads), KafkaError::Canceled.to_string());
    }
}
