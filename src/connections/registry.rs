//! The connections that have a place, so that each can be found and removed at once.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use super::control::Control;

/// All connections that have a place, by id.
///
/// All that is done under its lock takes at most as many steps as a tree of them is deep, or as a part is long.
#[derive(Debug, Default)]
pub(super) struct Registry(BTreeMap<u64, Arc<Control>>);

impl Registry {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a part of the connections with these ids, and returns the id with which the next part begins.
    pub(super) fn part(&self, ids: Range<u64>, to: &mut Vec<Arc<Control>>) -> Option<u64> {
        if ids.is_empty() {
            return None;
        }
        let mut rest = self.0.range(ids);
        to.extend(rest.by_ref().take(PART).map(|(_, control)| Arc::clone(control)));
        rest.next().map(|(&id, _)| id)
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Control>> {
        self.0.get(&id).cloned()
    }

    pub(super) fn insert(&mut self, control: Arc<Control>) {
        self.0.insert(control.id(), control);
    }

    pub(super) fn remove(&mut self, control: &Control) {
        self.0.remove(&control.id());
    }
}

/// How many connections are listed while the lock is held once: a few microseconds.
const PART: usize = 256;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn control(id: u64) -> Arc<Control> {
        let (head, ()) = http::Request::new(()).into_parts();
        let (protocol, timeout) = ("foo".parse().unwrap(), Duration::ZERO);
        Arc::new(Control::new(id, protocol, &head, timeout, http::Extensions::new()))
    }

    #[tokio::test]
    async fn a_list_comes_in_parts_of_a_bounded_length() {
        let mut registry = Registry::default();
        let last = 10 * PART as u64;
        for id in 0..last {
            registry.insert(control(id));
        }
        let (mut all, mut next, mut parts) = (Vec::new(), Some(0), 0);
        while let Some(id) = next {
            let before = all.len();
            next = registry.part(id..last, &mut all);
            assert!(all.len() - before <= PART);
            parts += 1;
        }
        assert_eq!((all.len(), parts), (10 * PART, 10));
        assert!(registry.get(last).is_none() && registry.get(last - 1).is_some());
    }

    #[tokio::test]
    async fn connections_that_stay_are_listed_once_whatever_ends_or_begins_between_two_parts() {
        let mut registry = Registry::default();
        let last = 4 * PART as u64;
        for id in 0..last {
            registry.insert(control(id));
        }
        let (mut all, mut next, mut begun) = (Vec::new(), Some(0), last);
        while let Some(id) = next {
            next = registry.part(id..last, &mut all);
            // One that was listed, the one with which the next part would begin, and one that is new.
            for ends in [Some(id), next] {
                if let Some(control) = ends.and_then(|id| registry.get(id)) {
                    registry.remove(&control);
                }
            }
            registry.insert(control(begun));
            begun += 1;
        }
        let listed: Vec<u64> = all.iter().map(|control| control.id()).collect();
        assert!(listed.is_sorted_by(|one, other| one < other));
        let stays = |id: &u64| *id < last && registry.get(*id).is_some();
        assert!((0..last).filter(stays).all(|id| listed.contains(&id)));
        assert!(listed.iter().all(|&id| id < last));
    }
}
