//! `waspi._wasmer.Instance`.

use std::sync::{Arc, Mutex, PoisonError};

use pyo3::prelude::*;

use crate::buffer::Lent;
use crate::canceller::Canceller;
use crate::fault::{Fault, Kind, guarded};
use crate::loaded::Loaded;
use crate::outcome::Outcome;
use crate::raise::raise_run;
use crate::run::{Clock, Input, Product, Session, Terms, Usage};

/// See `_wasmer.pyi`.
#[pyclass(frozen, module = "waspi._wasmer")]
pub struct Instance {
    loaded: Arc<Loaded>,
    terms: Terms,
    canceller: Option<Py<Canceller>>,
    trace: bool,
    /// `None` once a failure has spent it.
    session: Mutex<Option<Session>>,
}

impl Instance {
    /// Instantiate and initialize under the limits of one call.
    pub fn open(
        loaded: Arc<Loaded>,
        terms: Terms,
        canceller: Option<Py<Canceller>>,
        trace: bool,
    ) -> (Result<Self, Fault>, Usage) {
        let clock = Clock::start();
        let opened = guarded(|| Session::open(&loaded, &terms, &clock));
        let mut session = match opened {
            Ok(session) => session,
            Err(fault) => return (Err(fault), Usage::default()),
        };
        let (done, usage) = session.watched(&loaded, &terms, &clock, canceller.as_ref().map(Py::get), |session| {
            session.initialize(&terms)?;
            Ok(())
        });
        let instance = done.map(|()| Self { loaded, terms, canceller, trace, session: Mutex::new(Some(session)) });
        (instance, usage)
    }

    fn call(&self, input: Input) -> (Result<Product, Fault>, Usage) {
        let mut session = self.session.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = session.as_mut() else {
            let message = "this instance is spent: an earlier call on it failed; make a new one";
            return (Err(Fault::new(Kind::Spent, message)), Usage::default());
        };
        let clock = Clock::start();
        let canceller = self.canceller.as_ref().map(Py::get);
        let (result, usage) =
            open.watched(&self.loaded, &self.terms, &clock, canceller, |session| session.call(input, &self.terms));
        if result.is_err() {
            *session = None;
        }
        (result, usage)
    }
}

#[pymethods]
impl Instance {
    fn run(&self, py: Python<'_>, input: &Bound<'_, PyAny>) -> PyResult<Outcome> {
        let lent = Lent::new(input)?;
        let input = lent.input();
        let (result, usage) = py.detach(|| self.call(input));
        let product = result.map_err(|fault| raise_run(py, fault, &usage))?;
        Ok(Outcome::new(py, &product, &usage, self.trace))
    }
}
