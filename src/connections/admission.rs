//! Decisions by the head of a request: which limits by key it counts for, and which values are attached to
//! its connection.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use http::{Extensions, request};

/// The questions of a layer about each head.
#[derive(Clone, Default)]
pub(crate) struct Admissions {
    limits: Vec<Arc<dyn Limit>>,
    attach: Vec<fn(&Extensions, &mut Extensions)>,
}

/// The answer for one request. It outlives the head.
#[derive(Default)]
pub(crate) struct Admission {
    pub(crate) claims: Claims,
    pub(crate) attached: Extensions,
}

impl Admissions {
    pub(crate) fn limit<K>(
        &mut self,
        key: impl Fn(&request::Parts) -> Option<K> + Send + Sync + 'static,
        at_most: usize,
    ) where
        K: Hash + Eq + Clone + Send + Sync + 'static,
    {
        self.limits.push(Arc::new(PerKey { key, at_most, taken: Taken::default() }));
    }

    pub(crate) fn attach<T>(&mut self)
    where
        T: Clone + Send + Sync + 'static,
    {
        self.attach.push(|from, to| {
            if let Some(value) = from.get::<T>() {
                // In the form in which `Connection::get` looks for it.
                to.insert(Arc::new(value.clone()));
            }
        });
    }

    pub(crate) fn ask(&self, head: &request::Parts) -> Admission {
        let mut admission = Admission::default();
        for attach in &self.attach {
            attach(&head.extensions, &mut admission.attached);
        }
        admission.claims =
            Claims(self.limits.iter().filter_map(|limit| limit.claim(head)).collect());
        admission
    }
}

impl fmt::Debug for Admissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, attach } = self;
        f.debug_struct("Admissions")
            .field("limits", &limits.len())
            .field("attach", &attach.len())
            .finish()
    }
}

/// The places of keys that a request needs. Those that were taken are returned when it is dropped.
#[derive(Default)]
pub(crate) struct Claims(Box<[Box<dyn Claim>]>);

impl Claims {
    /// Takes all of them, or stops at the first that is not free.
    pub(super) fn take(&mut self) -> bool {
        self.0.iter_mut().all(|claim| claim.take())
    }
}

impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(claims) = self;
        f.debug_tuple("Claims").field(&claims.len()).finish()
    }
}

/// A [`PerKey`] with any types.
trait Limit: Send + Sync {
    fn claim(&self, head: &request::Parts) -> Option<Box<dyn Claim>>;
}

/// A [`Ticket`] for a key of any type.
trait Claim: Send + Sync {
    fn take(&mut self) -> bool;
}

/// How many places each key has taken. A key without a place is not in it.
type Taken<K> = Arc<Mutex<HashMap<K, usize>>>;

struct PerKey<K, F> {
    key: F,
    at_most: usize,
    taken: Taken<K>,
}

impl<K, F> Limit for PerKey<K, F>
where
    K: Hash + Eq + Clone + Send + Sync + 'static,
    F: Fn(&request::Parts) -> Option<K> + Send + Sync,
{
    fn claim(&self, head: &request::Parts) -> Option<Box<dyn Claim>> {
        let key = (self.key)(head)?;
        let Self { at_most, ref taken, .. } = *self;
        Some(Box::new(Ticket { key, at_most, taken: Arc::clone(taken), is_taken: false }))
    }
}

/// A place of a key, once it is taken. It is returned when this is dropped.
struct Ticket<K>
where
    K: Hash + Eq,
{
    key: K,
    at_most: usize,
    taken: Taken<K>,
    is_taken: bool,
}

impl<K> Claim for Ticket<K>
where
    K: Hash + Eq + Clone + Send + Sync,
{
    fn take(&mut self) -> bool {
        if self.at_most == 0 {
            return false;
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let places = taken.entry(self.key.clone()).or_insert(0);
        self.is_taken = *places < self.at_most;
        *places += usize::from(self.is_taken);
        self.is_taken
    }
}

impl<K> Drop for Ticket<K>
where
    K: Hash + Eq,
{
    fn drop(&mut self) {
        if !self.is_taken {
            return;
        }
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(places) = taken.get_mut(&self.key) {
            *places -= 1;
            if *places == 0 {
                taken.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn the_map_holds_nothing_for_keys_without_connections() {
        let limit = PerKey {
            key: |head: &request::Parts| head.uri.query().map(str::to_owned),
            at_most: 2,
            taken: Taken::default(),
        };
        let claim = |uri: &str| {
            let (head, ()) = Request::get(uri).body(()).unwrap().into_parts();
            limit.claim(&head)
        };
        let held = || limit.taken.lock().unwrap().clone();
        assert!(claim("/").is_none());
        let mut claims = ["/?a", "/?a", "/?a", "/?b"].map(|uri| claim(uri).unwrap());
        assert!(held().is_empty());
        assert_eq!(claims.each_mut().map(|claim| claim.take()), [true, true, false, true]);
        assert_eq!(held(), HashMap::from([("a".into(), 2), ("b".into(), 1)]));
        drop(claims);
        assert!(held().is_empty());
    }

    #[test]
    fn a_request_that_gets_no_place_leaves_none_taken() {
        let mut admissions = Admissions::default();
        admissions.limit(|_| Some("all"), 1);
        admissions.limit(|_| Some("none"), 0);
        let (head, ()) = Request::new(()).into_parts();
        for _ in 0..3 {
            let mut admission = admissions.ask(&head);
            assert!(!admission.claims.take());
        }
        admissions.limits.pop();
        let (mut one, mut other) = (admissions.ask(&head), admissions.ask(&head));
        assert!(one.claims.take() && !other.claims.take());
        drop(one);
        assert!(other.claims.take());
    }
}
