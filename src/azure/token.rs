//! Access tokens of one principal, kept while they are valid.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};

use super::credential::CredentialError;
use super::scope::TokenScope;

/// How long before it expires a token is renewed, as azure-identity does.
pub const REFRESH_BEFORE: Duration = Duration::from_mins(5);
/// How long a request for a token may take.
pub const TOKEN_DEADLINE: Duration = Duration::from_secs(20);
/// The pause between renewals that fail while the old token is still valid.
const RENEWAL_PAUSE: Duration = Duration::from_secs(30);
/// A token is not used in its last seconds, because a request takes time to arrive.
const LAST_SECONDS: Duration = Duration::from_secs(10);

/// A token from its source.
pub struct FetchedToken {
    /// The bearer token.
    pub secret: String,
    /// When it expires.
    pub expires: Timestamp,
}

impl fmt::Debug for FetchedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FetchedToken")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A source of tokens.
pub trait TokenSource: Send + Sync {
    /// Requests a token; never returns one from a cache.
    fn fetch<'a>(&'a self, scope: &'a TokenScope) -> BoxFuture<'a, Result<FetchedToken, CredentialError>>;
}

impl TokenSource for Arc<dyn TokenSource> {
    fn fetch<'a>(&'a self, scope: &'a TokenScope) -> BoxFuture<'a, Result<FetchedToken, CredentialError>> {
        (**self).fetch(scope)
    }
}

/// A token to send.
#[derive(Clone)]
pub struct Token {
    secret: Arc<str>,
    expires: Timestamp,
    serial: u64,
}

impl Token {
    /// The bearer token: for the `Authorization` header and nothing else.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// The tokens of one principal, a cache for each scope; clones share it.
///
/// A token is renewed five minutes before it expires, by one caller while the others use the old one. While renewal
/// fails the old token is used until it expires. Callers that wait for a first token share one request and its
/// failure. No call waits longer than [`TOKEN_DEADLINE`] for a request.
#[derive(Clone)]
pub struct Tokens {
    source: Arc<dyn TokenSource>,
    slots: Arc<Mutex<HashMap<TokenScope, Arc<Slot>>>>,
}

#[derive(Default)]
struct Slot {
    cached: Mutex<CachedToken>,
    /// Locked by whoever asks the source.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct CachedToken {
    token: Option<Token>,
    serial: u64,
    /// Requests that ended, and how the last one failed.
    requests: u64,
    failure: Option<(Timestamp, CredentialError)>,
}

/// What to do with what is cached.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    Use,
    Renew,
    Fetch,
}

impl CachedToken {
    fn plan(&self, now: Timestamp) -> Plan {
        let Some(token) = &self.token else { return Plan::Fetch };
        let left = token.expires.duration_since(now);
        if left <= signed(LAST_SECONDS) {
            return Plan::Fetch;
        }
        let failed_lately = self
            .failure
            .as_ref()
            .is_some_and(|(at, _)| now.duration_since(*at).abs() < signed(RENEWAL_PAUSE));
        if left <= signed(REFRESH_BEFORE) && !failed_lately {
            Plan::Renew
        } else {
            Plan::Use
        }
    }

    fn settle(&mut self, result: Result<FetchedToken, CredentialError>, now: Timestamp) {
        self.requests += 1;
        match result {
            Ok(fetched) => {
                self.serial += 1;
                self.failure = None;
                self.token = Some(Token {
                    secret: fetched.secret.into(),
                    expires: fetched.expires,
                    serial: self.serial,
                });
            }
            Err(error) => self.failure = Some((now, error)),
        }
    }

    fn usable(&self, now: Timestamp) -> Option<Token> {
        self.token.clone().filter(|token| token.expires > now)
    }
}

fn signed(duration: Duration) -> SignedDuration {
    SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX)
}

impl Tokens {
    /// Tokens from a source, such as a [`Credential`](super::credential::Credential).
    pub fn new(source: impl TokenSource + 'static) -> Self {
        Self {
            source: Arc::new(source),
            slots: Arc::default(),
        }
    }

    /// A token for the scope that is valid now.
    pub async fn get(&self, scope: &TokenScope) -> Result<Token, CredentialError> {
        let slot = self.slot(scope);
        let (plan, token, requests) = slot.look();
        let _turn = match (plan, token) {
            (Plan::Use, Some(token)) => return Ok(token),
            (Plan::Renew, Some(token)) => match slot.turn.try_lock() {
                Ok(turn) => turn,
                Err(_) => return Ok(token),
            },
            _ => slot.turn.lock().await,
        };
        // Whoever had the turn before may have settled it, either way.
        let (plan, token, requests_now) = slot.look();
        if let (Plan::Use, Some(token)) = (plan, token) {
            return Ok(token);
        }
        if requests_now != requests
            && let Some(error) = slot.failure()
        {
            return Err(error);
        }
        let fetch = tokio::time::timeout(TOKEN_DEADLINE, self.source.fetch(scope));
        let result = fetch.await.unwrap_or(Err(CredentialError::Deadline {
            deadline: TOKEN_DEADLINE,
        }));
        let failure = result.as_ref().err().cloned();
        let now = Timestamp::now();
        let mut cached = slot.cached();
        cached.settle(result, now);
        match (cached.usable(now), failure) {
            (Some(token), None) => Ok(token),
            (Some(token), Some(error)) => {
                tracing::warn!(
                    code = error.code(),
                    "the token could not be renewed; the old one is used until it expires"
                );
                Ok(token)
            }
            (None, Some(error)) => Err(error),
            (None, None) => Err(CredentialError::Unavailable {
                message: "the token had expired when it arrived".to_owned(),
                retry_after: None,
            }),
        }
    }

    /// Drops a token that was refused with 401, so that the next call requests a new one. A token that has already
    /// replaced it is kept.
    pub fn invalidate(&self, scope: &TokenScope, refused: &Token) {
        let slot = self.slot(scope);
        let mut cached = slot.cached();
        if cached
            .token
            .as_ref()
            .is_some_and(|token| token.serial == refused.serial)
        {
            cached.token = None;
        }
    }

    fn slot(&self, scope: &TokenScope) -> Arc<Slot> {
        self.slots
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(scope.clone())
            .or_default()
            .clone()
    }
}

impl Slot {
    fn cached(&self) -> std::sync::MutexGuard<'_, CachedToken> {
        self.cached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self) -> (Plan, Option<Token>, u64) {
        let cached = self.cached();
        (cached.plan(Timestamp::now()), cached.token.clone(), cached.requests)
    }

    fn failure(&self) -> Option<CredentialError> {
        self.cached().failure.as_ref().map(|(_, error)| error.clone())
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tokens")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::{Arc, Mutex};

    use futures::future::BoxFuture;
    use jiff::{SignedDuration, Timestamp};

    use super::{FetchedToken, TokenSource, Tokens};
    use crate::azure::credential::CredentialError;
    use crate::azure::scope::TokenScope;

    /// Answers in order, and counts how often it was asked. A number is the seconds that a token lasts.
    #[derive(Clone, Default)]
    struct Script {
        answers: Arc<Mutex<VecDeque<Option<i64>>>>,
        asked: Arc<Mutex<Vec<String>>>,
    }

    fn failure() -> CredentialError {
        CredentialError::Unavailable {
            message: "down".to_owned(),
            retry_after: None,
        }
    }

    impl TokenSource for Script {
        fn fetch<'a>(&'a self, scope: &'a TokenScope) -> BoxFuture<'a, Result<FetchedToken, CredentialError>> {
            Box::pin(async move {
                let number = {
                    let mut asked = self.asked.lock().unwrap();
                    asked.push(scope.as_str().to_owned());
                    asked.len()
                };
                tokio::task::yield_now().await;
                let seconds = self.answers.lock().unwrap().pop_front().flatten().ok_or_else(failure)?;
                let expires = Timestamp::now() + SignedDuration::from_secs(seconds);
                Ok(FetchedToken {
                    secret: format!("secret-{number}"),
                    expires,
                })
            })
        }
    }

    fn script(answers: &[Option<i64>]) -> (Script, Tokens, TokenScope) {
        let script = Script {
            answers: Arc::new(Mutex::new(answers.iter().copied().collect())),
            ..Script::default()
        };
        (
            script.clone(),
            Tokens::new(script),
            TokenScope::of_audience("https://dynamicsessions.io/"),
        )
    }

    impl Script {
        fn times_asked(&self) -> usize {
            self.asked.lock().unwrap().len()
        }
    }

    #[tokio::test]
    async fn a_token_is_kept_for_each_scope() {
        let (script, tokens, sessions) = script(&[Some(3600), Some(3600)]);
        let arm = TokenScope::of_audience("https://management.azure.com");
        for _ in 0..3 {
            assert_eq!(tokens.get(&sessions).await.unwrap().secret(), "secret-1");
            assert_eq!(tokens.get(&arm).await.unwrap().secret(), "secret-2");
        }
        let asked = script.asked.lock().unwrap().clone();
        assert_eq!(
            asked,
            [
                "https://dynamicsessions.io/.default",
                "https://management.azure.com/.default"
            ]
        );
    }

    #[tokio::test]
    async fn a_token_is_renewed_before_its_end() {
        let (_, tokens, scope) = script(&[Some(120), Some(3600)]);
        assert_eq!(tokens.get(&scope).await.unwrap().secret(), "secret-1");
        assert_eq!(tokens.get(&scope).await.unwrap().secret(), "secret-2");
    }

    #[tokio::test]
    async fn the_old_token_is_used_while_its_renewal_fails_and_renewal_is_not_hammered() {
        let (script, tokens, scope) = script(&[Some(120), None]);
        for _ in 0..5 {
            assert_eq!(tokens.get(&scope).await.unwrap().secret(), "secret-1");
        }
        assert_eq!(script.times_asked(), 2);
    }

    #[tokio::test]
    async fn a_token_past_its_end_is_never_used() {
        let (_, tokens, scope) = script(&[Some(-1), None]);
        assert!(tokens.get(&scope).await.is_err());
        assert_eq!(tokens.get(&scope).await.unwrap_err(), failure());
    }

    #[tokio::test]
    async fn callers_that_wait_share_one_request_and_its_token() {
        let (script, tokens, scope) = script(&[Some(3600)]);
        let results = futures::future::join_all((0..20).map(|_| tokens.get(&scope))).await;
        assert!(
            results
                .iter()
                .all(|result| result.as_ref().is_ok_and(|token| token.secret() == "secret-1"))
        );
        assert_eq!(script.times_asked(), 1);
    }

    #[tokio::test]
    async fn callers_that_wait_share_a_failure_and_a_later_one_asks_again() {
        let (script, tokens, scope) = script(&[None, Some(3600)]);
        let results = futures::future::join_all((0..20).map(|_| tokens.get(&scope))).await;
        assert!(
            results
                .iter()
                .all(|result| result.as_ref().is_err_and(|error| *error == failure()))
        );
        assert_eq!(script.times_asked(), 1);
        assert!(tokens.get(&scope).await.is_ok());
    }

    #[tokio::test]
    async fn a_refused_token_is_dropped_but_not_the_one_that_took_its_place() {
        let (script, tokens, scope) = script(&[Some(3600), Some(3600)]);
        let refused = tokens.get(&scope).await.unwrap();
        tokens.invalidate(&scope, &refused);
        assert_eq!(tokens.get(&scope).await.unwrap().secret(), "secret-2");
        tokens.invalidate(&scope, &refused);
        assert_eq!(tokens.get(&scope).await.unwrap().secret(), "secret-2");
        assert_eq!(script.times_asked(), 2);
    }

    #[tokio::test]
    async fn nothing_shows_a_token() {
        let (_, tokens, scope) = script(&[Some(3600)]);
        let token = tokens.get(&scope).await.unwrap();
        assert!(!format!("{token:?} {tokens:?}").contains("secret-1"));
    }
}
