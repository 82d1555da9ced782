//! One function turns librdkafka's errors into what the worker must do about them.

use rdkafka_sys::RDKafkaErrorCode as Code;

use super::native::Failure;
use crate::log::{Class, Error};

/// What was going on when an error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// A call of an open transaction: a time-out leaves its outcome open.
    Transaction,
    /// Anything that may be asked again.
    Request,
}

/// `what` names the call, for the message.
pub fn classify(failure: &Failure, during: During, what: &str) -> Error {
    let message = format!("{what}: {}", describe(failure));
    if failure.code == Code::FencedInstanceId || failure.code == Code::UnreleasedInstanceId {
        let help = "another process uses this group.instance.id; give every process its own";
        return Error::new(Class::Fatal, format!("{message}; {help}"));
    }
    if is_denied(failure.code) {
        let help = "check the credentials and the principal's rights on topics, group and \
                    transactional id";
        return Error::new(Class::Fatal, format!("{message}; {help}"));
    }
    if is_out_of_range(failure.code) {
        return Error::out_of_range(message);
    }
    if is_fenced(failure.code) {
        return Error::new(Class::Migrated, message);
    }
    if failure.flags.fatal {
        return Error::new(Class::Fatal, message);
    }
    // The transaction has failed already, in the background: calls of it are refused until it is
    // aborted.
    let is_over = during == During::Transaction && failure.code == Code::State;
    if failure.flags.requires_abort || is_over || is_membership(failure.code) {
        let outdated = is_membership(failure.code);
        let blameless = is_over || outdated || is_unanswered(failure.code);
        return Error { blameless, outdated, ..Error::new(Class::Abort, message) };
    }
    if is_unanswered(failure.code) {
        return match during {
            During::Transaction => Error::in_doubt(message),
            During::Request => Error { in_doubt: true, ..Error::new(Class::Retry, message) },
        };
    }
    if failure.flags.retriable || is_passing(failure.code) {
        return Error::new(Class::Retry, message);
    }
    Error::new(Class::Fatal, message)
}

fn describe(failure: &Failure) -> String {
    if failure.text.is_empty() { failure.code.to_string() } else { failure.text.clone() }
}

/// A newer producer of the same id, or the coordinator after a time-out, ended our epoch.
fn is_fenced(code: Code) -> bool {
    matches!(
        code,
        Code::Fenced
            | Code::ProducerFenced
            | Code::InvalidProducerEpoch
            | Code::InvalidProducerIdMapping
            | Code::InvalidTransactionalState
            | Code::TransactionCoordinatorFenced
    )
}

/// The group went on without us: nothing of this generation can be committed.
fn is_membership(code: Code) -> bool {
    matches!(
        code,
        Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress
            | Code::FencedMemberEpoch
            | Code::StaleMemberEpoch
            | Code::AssignmentLost
    )
}

/// No answer came: the request may have been carried out. Such an error taints a producer.
pub fn is_unanswered(code: Code) -> bool {
    matches!(
        code,
        Code::OperationTimedOut
            | Code::TimedOutQueue
            | Code::MessageTimedOut
            | Code::RequestTimedOut
            | Code::BrokerTransportFailure
            | Code::AllBrokersDown
            | Code::DestroyBroker
            | Code::NetworkException
            | Code::Resolve
            | Code::SSL
    )
}

fn is_out_of_range(code: Code) -> bool {
    matches!(code, Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::LogTruncation)
}

/// No time cures this: a refused login, a topic that is forbidden.
pub fn is_denied(code: Code) -> bool {
    matches!(
        code,
        Code::Authentication
            | Code::SaslAuthenticationFailed
            | Code::UnsupportedSASLMechanism
            | Code::IllegalSASLState
            | Code::TopicAuthorizationFailed
            | Code::GroupAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::TransactionalIdAuthorizationFailed
    )
}

/// States of a cluster that end by themselves.
fn is_passing(code: Code) -> bool {
    matches!(
        code,
        Code::WaitingForCoordinator
            | Code::WaitCache
            | Code::InProgress
            | Code::PreviousInProgress
            | Code::Interrupted
            | Code::QueueFull
            | Code::Outdated
            | Code::Retry
            | Code::Partial
            | Code::UnknownBroker
            | Code::PurgeQueue
            | Code::PurgeInflight
            | Code::UnknownPartition
            | Code::UnknownTopic
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::CoordinatorLoadInProgress
            | Code::CoordinatorNotAvailable
            | Code::NotCoordinator
            | Code::NotEnoughReplicas
            | Code::NotEnoughReplicasAfterAppend
            | Code::ConcurrentTransactions
            | Code::UnstableOffsetCommit
            | Code::FencedLeaderEpoch
            | Code::UnknownLeaderEpoch
            | Code::OffsetNotAvailable
            | Code::ThrottlingQuotaExceeded
            | Code::KafkaStorageError
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::native::Flags;

    const NONE: Flags = Flags { fatal: false, retriable: false, requires_abort: false };
    const FATAL: Flags = Flags { fatal: true, ..NONE };
    const RETRIABLE: Flags = Flags { retriable: true, ..NONE };
    const ABORT: Flags = Flags { requires_abort: true, ..NONE };

    #[test]
    fn every_error_has_its_class() {
        use During::{Request, Transaction};
        let table = [
            (Code::Fenced, FATAL, Transaction, Class::Migrated),
            (Code::ProducerFenced, FATAL, Transaction, Class::Migrated),
            (Code::InvalidProducerEpoch, NONE, Transaction, Class::Migrated),
            (Code::InvalidTransactionalState, FATAL, Transaction, Class::Migrated),
            (Code::FencedInstanceId, FATAL, Request, Class::Fatal),
            (Code::FencedInstanceId, ABORT, Transaction, Class::Fatal),
            (Code::UnreleasedInstanceId, FATAL, Request, Class::Fatal),
            (Code::InvalidRequest, FATAL, Request, Class::Fatal),
            (Code::IllegalGeneration, ABORT, Transaction, Class::Abort),
            (Code::UnknownMemberId, NONE, Transaction, Class::Abort),
            (Code::DestroyBroker, NONE, Request, Class::Retry),
            (Code::DestroyBroker, NONE, Transaction, Class::Migrated),
            (Code::State, NONE, Transaction, Class::Abort),
            (Code::State, NONE, Request, Class::Fatal),
            (Code::StaleMemberEpoch, NONE, Transaction, Class::Abort),
            (Code::MessageSizeTooLarge, ABORT, Transaction, Class::Abort),
            (Code::MessageTimedOut, ABORT, Transaction, Class::Abort),
            (Code::OperationTimedOut, RETRIABLE, Transaction, Class::Migrated),
            (Code::BrokerTransportFailure, RETRIABLE, Transaction, Class::Migrated),
            (Code::AllBrokersDown, NONE, Transaction, Class::Migrated),
            (Code::OperationTimedOut, NONE, Request, Class::Retry),
            (Code::BrokerTransportFailure, NONE, Request, Class::Retry),
            (Code::CoordinatorNotAvailable, NONE, Request, Class::Retry),
            (Code::UnstableOffsetCommit, NONE, Request, Class::Retry),
            (Code::InvalidRecord, RETRIABLE, Transaction, Class::Retry),
            (Code::AutoOffsetReset, NONE, Request, Class::Fatal),
            (Code::Authentication, NONE, Request, Class::Fatal),
            (Code::TransactionalIdAuthorizationFailed, FATAL, Transaction, Class::Fatal),
            (Code::Unknown, NONE, Request, Class::Fatal),
        ];
        for (code, flags, during, expected) in table {
            let failure = Failure { code, flags, text: String::new() };
            let error = classify(&failure, during, "call");
            assert_eq!(error.class, expected, "{code:?} {flags:?} {during:?}");
        }
    }

    #[test]
    fn doubt_and_range_are_marked() {
        let unanswered = Failure::new(Code::OperationTimedOut, "");
        assert!(classify(&unanswered, During::Transaction, "commit").in_doubt);
        assert!(classify(&unanswered, During::Request, "ask").in_doubt);
        for code in [Code::AutoOffsetReset, Code::OffsetOutOfRange, Code::LogTruncation] {
            assert!(classify(&Failure::new(code, ""), During::Request, "fetch").out_of_range);
        }
    }

    #[test]
    fn what_the_group_left_behind_is_marked() {
        for code in [Code::IllegalGeneration, Code::UnknownMemberId, Code::RebalanceInProgress] {
            let error = classify(&Failure::new(code, ""), During::Transaction, "send offsets");
            assert!(error.outdated && error.blameless, "{code:?}");
        }
        let too_large = Failure::new(Code::MessageSizeTooLarge, "");
        assert!(!classify(&too_large, During::Transaction, "send").outdated);
    }
}
