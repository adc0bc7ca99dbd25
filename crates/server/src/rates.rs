//! How often a key may ask: a bucket for each caller, after the generic cell rate algorithm.

use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::AppState;
use crate::app::is_public;
use crate::auth::identify;
use crate::errors::{ApiError, Rejection};

/// Callers of one rate that are remembered before those who rest are forgotten.
const REMEMBERED: usize = 4096;

/// So many requests in such a time, as in `10/s`, `600/min` or `5000/h`; all of them may come at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Rate {
    count: NonZeroU32,
    per: Unit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
}

impl Unit {
    const ALL: [Self; 3] = [Self::Second, Self::Minute, Self::Hour];

    /// Its name and its seconds.
    fn facts(self) -> (&'static str, u64) {
        match self {
            Self::Second => ("s", 1),
            Self::Minute => ("min", 60),
            Self::Hour => ("h", 3600),
        }
    }
}

/// A text that is no rate.
#[derive(Debug, Error)]
#[error("{0:?} is not a rate; expected a whole number above zero per s, min or h, such as 10/s")]
pub struct RateError(String);

impl FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Self, RateError> {
        let wrong = || RateError(text.to_owned());
        let (count, unit) = text.trim().split_once('/').ok_or_else(wrong)?;
        let known = Unit::ALL.into_iter().find(|known| known.facts().0 == unit);
        let per = known.ok_or_else(wrong)?;
        Ok(Self { count: count.parse().map_err(|_| wrong())?, per })
    }
}

impl TryFrom<String> for Rate {
    type Error = RateError;

    fn try_from(text: String) -> Result<Self, RateError> {
        text.parse()
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.count, self.per.facts().0)
    }
}

impl Rate {
    fn quota(self) -> Option<Quota> {
        let period = Duration::from_secs(self.per.facts().1) / self.count.get();
        Some(Quota::with_period(period)?.allow_burst(self.count))
    }
}

/// The buckets, by rate and caller.
#[derive(Debug)]
pub(crate) struct Rates {
    /// Of callers whose key has no rate of its own.
    usual: Option<Rate>,
    buckets: Mutex<HashMap<Rate, Arc<DefaultKeyedRateLimiter<String>>>>,
}

impl Rates {
    pub(crate) fn new(usual: Option<Rate>) -> Self {
        Self { usual, buckets: Mutex::default() }
    }

    /// Takes one request from the caller's bucket, or says how long it takes until there is one.
    fn take(&self, caller: &str, own: Option<Rate>) -> Result<(), Duration> {
        let Some(rate) = own.or(self.usual) else { return Ok(()) };
        // A rate that is too fast for a clock of nanoseconds limits nobody.
        let Some(quota) = rate.quota() else { return Ok(()) };
        let bucket = {
            let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
            buckets.entry(rate).or_insert_with(|| Arc::new(RateLimiter::keyed(quota))).clone()
        };
        if bucket.len() > REMEMBERED {
            bucket.retain_recent();
        }
        let now = DefaultClock::default();
        bucket.check_key(&caller.to_owned()).map_err(|wait| wait.wait_time_from(now.now()))
    }
}

/// Turns requests away whose caller has used its rate up. Health checks and the page are free.
pub(crate) async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    if !is_public(request.uri().path()) {
        let caller = identify(&state, request.headers());
        if let Err(wait) = state.rates().take(&caller.to_string(), caller.rate) {
            let seconds = wait.as_secs_f64().ceil().clamp(1.0, 3600.0) as u64;
            let reason = "this caller's rate is used up";
            return ApiError::Overloaded { reason, rejection: Rejection::RateUsedUp, seconds }
                .into_response();
        }
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_read_and_written() {
        for text in ["10/s", "600/min", "1/h"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        for wrong in ["", "10", "0/s", "-1/s", "10/d", "/s", "1.5/s"] {
            assert!(wrong.parse::<Rate>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn each_caller_has_a_bucket_and_a_key_s_own_rate_goes_first() {
        let rates = Rates::new(Some("2/h".parse().unwrap()));
        for caller in ["a", "b"] {
            assert!(rates.take(caller, None).is_ok() && rates.take(caller, None).is_ok());
            let wait = rates.take(caller, None).unwrap_err();
            assert!((1700..=1800).contains(&wait.as_secs()), "{wait:?}");
        }
        let own = Some("3/h".parse().unwrap());
        assert_eq!((0..5).filter(|_| rates.take("a", own).is_ok()).count(), 3);
        let free = Rates::new(None);
        assert!((0..100).all(|_| free.take("a", None).is_ok()));
    }
}
