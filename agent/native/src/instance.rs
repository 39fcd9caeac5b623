//! `waspi._wasmer.Instance`.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use crate::buffer::Lent;
use crate::canceller::Canceller;
use crate::dialogue::Input;
use crate::fault::{Fault, Kind, guarded};
use crate::image;
use crate::loaded::Loaded;
use crate::outcome::Outcome;
use crate::raise::raise_run;
use crate::report::{Report, Terms};
use crate::run::{Clock, Session};

/// See `_wasmer.pyi`.
#[pyclass(frozen, module = "waspi._wasmer")]
pub struct Instance {
    loaded: Arc<Loaded>,
    terms: Terms,
    canceller: Option<Py<Canceller>>,
    trace: bool,
    state: Mutex<State>,
}

enum State {
    Open(Box<Session>),
    /// A failure has spent it.
    Spent,
    Closed,
}

impl Instance {
    /// Instantiate and initialize under the limits of one call.
    pub fn open(
        loaded: Arc<Loaded>,
        script: Option<&[u8]>,
        image: &image::Slot,
        terms: Terms,
        canceller: Option<Py<Canceller>>,
        trace: bool,
        report: &mut Report,
    ) -> Result<Self, Box<Fault>> {
        let session = Clock::with(|clock| {
            let mut session = guarded(|| Session::open(&loaded, &terms, clock, script.is_some()))?;
            let canceller = canceller.as_ref().map(Py::get);
            session.watched(&loaded, &terms, clock, canceller, report, |session, _| {
                session.initialize(&loaded, &terms, script, image)
            })?;
            Ok::<_, Box<Fault>>(session)
        })?;
        Ok(Self { loaded, terms, canceller, trace, state: Mutex::new(State::Open(Box::new(session))) })
    }

    fn call(&self, input: Input, report: &mut Report) -> Result<(), Box<Fault>> {
        let mut state = self.state();
        let session = match &mut *state {
            State::Open(session) => session,
            State::Spent => {
                let message = "this instance is spent: an earlier call on it failed; make a new one";
                return Err(Fault::new(Kind::Spent, message).into());
            }
            State::Closed => {
                let message = "this instance was closed; instantiate the module again";
                return Err(Fault::new(Kind::Usage, message).into());
            }
        };
        let canceller = self.canceller.as_ref().map(Py::get);
        let done = Clock::with(|clock| {
            session.watched(&self.loaded, &self.terms, clock, canceller, report, |session, report| {
                session.call(input, &self.terms, report)
            })
        });
        if done.is_err() {
            *state = State::Spent;
        }
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Instance {
    fn run<'py>(&self, py: Python<'py>, input: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Outcome>> {
        let lent = Lent::new(input)?;
        let input = lent.input();
        let mut report = Report::default();
        let done = py.detach(|| self.call(input, &mut report));
        done.map_err(|fault| raise_run(py, &fault, &report.usage))?;
        Outcome::of(py, &report, self.trace)
    }

    fn close(&self, py: Python<'_>) {
        // A call that goes on in another thread holds the lock, and wants the GIL when it is done.
        py.detach(|| *self.state() = State::Closed);
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __exit__(&self, py: Python<'_>, _kind: Py<PyAny>, _error: Py<PyAny>, _trace: Py<PyAny>) {
        self.close(py);
    }
}
