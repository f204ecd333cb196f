//! The connections that have a place, so that each can be found and removed at once.

use std::sync::Arc;

use super::control::Control;

/// All connections that have a place.
#[derive(Debug, Default)]
pub(super) struct Registry(Vec<Arc<Control>>);

impl Registry {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn all(&self) -> Vec<Arc<Control>> {
        self.0.clone()
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<Control>> {
        self.0.iter().find(|control| control.id() == id).cloned()
    }

    pub(super) fn insert(&mut self, control: Arc<Control>) {
        control.set_index(self.0.len());
        self.0.push(control);
    }

    pub(super) fn remove(&mut self, control: &Control) {
        let index = control.index();
        self.0.swap_remove(index);
        if let Some(moved) = self.0.get(index) {
            moved.set_index(index);
        }
    }
}
