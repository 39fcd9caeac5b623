//! Stops a run from another thread.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::ending::canceled;
use crate::fault::Fault;
use crate::watchdog::{Slot, Stop};

#[derive(Default)]
struct State {
    canceled: bool,
    /// The runs that hold this canceller now.
    running: Vec<Arc<Slot>>,
}

/// See `_wasmer.pyi`.
#[pyclass(frozen, module = "waspi._wasmer")]
#[derive(Default)]
pub struct Canceller(Mutex<State>);

impl Canceller {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Let `cancel` reach the run that is armed in `slot`; a fault when it came before.
    pub fn attach(&self, slot: &Arc<Slot>) -> Result<(), Fault> {
        let mut state = self.state();
        if state.canceled {
            return Err(canceled());
        }
        state.running.push(slot.clone());
        Ok(())
    }

    /// The run has ended: no later `cancel` may reach the slot's next one.
    pub fn detach(&self, slot: &Arc<Slot>) {
        self.state().running.retain(|other| !Arc::ptr_eq(other, slot));
    }
}

#[pymethods]
impl Canceller {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    fn cancel(&self) {
        let mut state = self.state();
        state.canceled = true;
        for slot in &state.running {
            slot.stop(Stop::Canceled);
        }
    }

    fn reset(&self) {
        self.state().canceled = false;
    }
}
