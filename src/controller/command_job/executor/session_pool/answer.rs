//! What the answers of a pool's data plane mean for an attempt.

use jiff::Timestamp;

use super::pools::UsablePool;
use super::streams::StreamError;
use crate::api::condition::Reason;
use crate::azure::session::{Dispatch, SessionErrorKind};
use crate::azure::{AzureError, ErrorClass, SessionError};
use crate::controller::azure_error::{class_of, reason_of};
use crate::controller::command_job::attempt::{Event, Problem};
use crate::controller::command_job::runner::WorkError;
use crate::runtime::{Class, Key};

/// A request that failed.
pub fn to_request(pool: &UsablePool, error: SessionError) -> Event {
    let problem = problem(pool, &error);
    match error.kind {
        SessionErrorKind::Denied => Event::Denied {
            at: Timestamp::now(),
            problem,
        },
        SessionErrorKind::Exhausted => Event::Full(problem),
        _ if error.dispatch == Dispatch::Unknown => Event::Unanswered(problem),
        _ => Event::Failed(problem),
    }
}

/// A request that has nothing to tell.
pub fn to_done(pool: &UsablePool, result: Result<(), SessionError>) -> Event {
    result.map_or_else(|error| to_request(pool, error), |()| Event::Done)
}

/// A stream that could not be read.
pub fn to_reading(pool: &UsablePool, error: StreamError) -> Event {
    match error {
        StreamError::Session(error) if is_not_found(&error) => Event::OutputMissing(problem(pool, &error)),
        StreamError::Session(error) => to_request(pool, error),
        StreamError::TimedOut(_) => Event::Failed(transient(error.to_string())),
        StreamError::Short(_) | StreamError::Altered(_) => Event::OutputMissing(transient(error.to_string())),
    }
}

/// Whether the session, a file in it, or the pool was not found.
pub fn is_not_found(error: &SessionError) -> bool {
    error.kind == SessionErrorKind::NotFound
}

/// It could not be found out whether the pool exists.
pub fn unknown_pool(pool: &UsablePool, error: &AzureError) -> Problem {
    let (reason, message) = match &pool.runs_as.lender {
        None => (reason_of(error), error.to_string()),
        Some(lender) => (
            Reason::Unavailable,
            format!("it cannot be found out whether Azure has the pool of the SessionPool {lender}"),
        ),
    };
    Problem {
        class: class_of(error),
        reason: reason.as_str().into(),
        message,
    }
}

/// What is to run cannot be written down for a session.
pub fn not_runnable(error: &WorkError) -> Problem {
    Problem {
        class: Class::Terminal,
        reason: Reason::InvalidSpec.as_str().into(),
        message: error.to_string(),
    }
}

/// Of a share of memory that others of the namespace use.
pub fn no_room() -> Problem {
    Problem {
        class: Class::Waiting { after: None },
        reason: Reason::OperatorBusy.as_str().into(),
        message: "the command has ended; its output is read when that of other jobs of the namespace, or of all, was"
            .to_owned(),
    }
}

fn transient(message: String) -> Problem {
    Problem {
        class: Class::Transient,
        reason: Reason::Unavailable.as_str().into(),
        message,
    }
}

fn problem(pool: &UsablePool, error: &SessionError) -> Problem {
    let (reason, message) = match &pool.runs_as.lender {
        None => (reason(error), message(pool, error)),
        Some(lender) => told_to_guest(lender, error),
    };
    Problem {
        class: class(error),
        reason: reason.as_str().into(),
        message,
    }
}

fn message(pool: &UsablePool, error: &SessionError) -> String {
    match error.kind {
        SessionErrorKind::Denied => format!(
            "the session pool {} refuses the principal {} ({})",
            pool.id,
            pool.account.principal(),
            error.code
        ),
        // Azure says it in several ways.
        SessionErrorKind::Exhausted => format!(
            "every session of the session pool {} is in use; the job starts when one is free",
            pool.id
        ),
        _ => error.to_string(),
    }
}

/// Azure's own words have ids of the pool and of the principal in them, and those of the authority say what is wrong with the
/// credential. Of an account that is lent none of that is for whoever reads the job.
fn told_to_guest(lender: &Key, error: &SessionError) -> (Reason, String) {
    let code = &error.code;
    match error.kind {
        SessionErrorKind::Credential => (
            Reason::AccountNotReady,
            format!("the account that the SessionPool {lender} lends gets no token"),
        ),
        SessionErrorKind::Denied => (
            Reason::Unauthorized,
            format!("the SessionPool {lender} refuses the account that it lends ({code})"),
        ),
        SessionErrorKind::Exhausted => (
            Reason::PoolExhausted,
            format!("every session of the SessionPool {lender} is in use; the job starts when one is free"),
        ),
        _ => (
            reason(error),
            format!("a request to the SessionPool {lender} failed ({code})"),
        ),
    }
}

fn class(error: &SessionError) -> Class {
    // A full pool is no failure: the job waits for its turn.
    if error.kind == SessionErrorKind::Exhausted {
        return Class::Waiting {
            after: error.retry_after,
        };
    }
    match error.class() {
        ErrorClass::Throttled(after) => Class::Throttled { after },
        ErrorClass::Waiting | ErrorClass::Unregistered => Class::Waiting { after: None },
        // What is not found may be replicating; whether a pool is really gone is asked of Resource Manager.
        ErrorClass::NotFound | ErrorClass::Transient | ErrorClass::Conflict => Class::Transient,
        ErrorClass::Denied => Class::Denied,
        ErrorClass::Terminal => Class::Terminal,
    }
}

fn reason(error: &SessionError) -> Reason {
    match error.kind {
        SessionErrorKind::Exhausted => Reason::PoolExhausted,
        // Not every authority that gives no token has refused the credential.
        SessionErrorKind::Credential => match error.class() {
            ErrorClass::Denied | ErrorClass::Terminal => Reason::InvalidCredential,
            ErrorClass::Waiting => Reason::AccountNotReady,
            _ => Reason::Unavailable,
        },
        SessionErrorKind::Denied => Reason::Unauthorized,
        SessionErrorKind::Throttled => Reason::Throttled,
        SessionErrorKind::Rejected | SessionErrorKind::TooLarge => Reason::Rejected,
        SessionErrorKind::NotFound
        | SessionErrorKind::Unreachable
        | SessionErrorKind::TimedOut
        | SessionErrorKind::Broken
        | SessionErrorKind::ServiceFailed => Reason::Unavailable,
    }
}
