//! `waspi._wasmer.Module`.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::abi::Abi;
use crate::bounds::Bounds;
use crate::buffer::Lent;
use crate::canceller::Canceller;
use crate::dialogue::Input;
use crate::fault::{Fault, guarded};
use crate::host::Environment;
use crate::image::{self, Image};
use crate::instance::Instance;
use crate::limits::Limits;
use crate::loaded::Loaded;
use crate::outcome::Outcome;
use crate::raise::{raise, raise_run};
use crate::report::{Report, Terms};
use crate::run::{Clock, Session};

/// See `_wasmer.pyi`.
#[pyclass(frozen, module = "waspi._wasmer")]
pub struct Module {
    loaded: Arc<Loaded>,
    /// What its `load` is given before the first call of each instance.
    script: Option<Arc<[u8]>>,
    /// Of its start-up, with the script.
    image: image::Slot,
}

impl From<Loaded> for Module {
    fn from(loaded: Loaded) -> Self {
        Self { loaded: Arc::new(loaded), script: None, image: image::Slot::new() }
    }
}

/// A fresh instance for one run.
fn run_once(
    module: &Module,
    terms: &Terms,
    canceller: Option<&Canceller>,
    input: Input,
    report: &mut Report,
) -> Result<(), Box<Fault>> {
    let (loaded, script) = (&*module.loaded, module.script.as_deref());
    Clock::with(|clock| {
        let mut session = guarded(|| Session::open(loaded, terms, clock, script.is_some()))?;
        session.watched(loaded, terms, clock, canceller, report, |session, report| {
            session.initialize(loaded, terms, script, &module.image)?;
            session.call(input, terms, report)
        })
    })
}

#[pymethods]
impl Module {
    #[staticmethod]
    #[pyo3(signature = (wasm, *, bounds = None, target = None, abi = None))]
    fn compile(
        py: Python<'_>,
        wasm: &Bound<'_, PyAny>,
        bounds: Option<&Bound<'_, Bounds>>,
        target: Option<&str>,
        abi: Option<(String, String, String)>,
    ) -> PyResult<Self> {
        let lent = Lent::new(wasm)?;
        let bytes = lent.stable(py)?;
        let bytes: &[u8] = &bytes;
        let bounds = bounds.map(|bounds| *bounds.get()).unwrap_or_default();
        let abi = abi.map(|(memory, alloc, entry)| Abi { memory, alloc, entry, headroom: 0 });
        let loaded = py.detach(|| guarded(|| Loaded::compile(bytes, &bounds, target, abi.as_ref())));
        loaded.map(Self::from).map_err(|fault| raise(py, fault))
    }

    #[staticmethod]
    fn load(py: Python<'_>, artifact: &Bound<'_, PyAny>) -> PyResult<Self> {
        let lent = Lent::new(artifact)?;
        let bytes = lent.stable(py)?;
        let bytes: &[u8] = &bytes;
        let loaded = py.detach(|| guarded(|| Loaded::load(bytes)));
        loaded.map(Self::from).map_err(|fault| raise(py, fault))
    }

    fn with_script(&self, py: Python<'_>, script: &Bound<'_, PyAny>) -> PyResult<Self> {
        let lent = Lent::new(script)?;
        let script: Arc<[u8]> = lent.stable(py)?[..].into();
        Ok(Self { loaded: self.loaded.clone(), script: Some(script), image: image::Slot::new() })
    }

    #[getter]
    fn image_bytes(&self) -> Option<usize> {
        self.image.get()?.as_ref().map(Image::len)
    }

    fn serialize<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = py.detach(|| guarded(|| self.loaded.serialize())).map_err(|fault| raise(py, fault))?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[getter]
    fn sha256(&self) -> &str {
        &self.loaded.sha256
    }

    #[getter]
    fn exports(&self) -> Vec<(&str, &str)> {
        let shape = &self.loaded.shape;
        shape.export_order.iter().map(|name| (name.as_str(), shape.exports[name].text.as_str())).collect()
    }

    #[getter]
    fn imports(&self) -> Vec<(&str, &str, &str)> {
        let imports = self.loaded.shape.imports.iter();
        imports.map(|import| (import.module.as_str(), import.name.as_str(), import.kind.as_str())).collect()
    }

    #[pyo3(signature = (input, *, memory = "memory", alloc = "alloc", entry = "append", headroom = 30, fuel = None,
                        memory_bytes = None, time_ms = None, output_bytes = None, log_bytes = None, canceller = None,
                        trace = false, environment = None))]
    #[allow(clippy::too_many_arguments)] // each is a keyword with a default in Python
    fn run<'py>(
        &self,
        py: Python<'py>,
        input: &Bound<'py, PyAny>,
        memory: &str,
        alloc: &str,
        entry: &str,
        headroom: u32,
        fuel: Option<u64>,
        memory_bytes: Option<u64>,
        time_ms: Option<u64>,
        output_bytes: Option<u64>,
        log_bytes: Option<u64>,
        canceller: Option<&Bound<'_, Canceller>>,
        trace: bool,
        environment: Option<&[u8]>,
    ) -> PyResult<Bound<'py, Outcome>> {
        let lent = Lent::new(input)?;
        let input = lent.input();
        let terms = Terms {
            abi: Abi { memory: memory.into(), alloc: alloc.into(), entry: entry.into(), headroom },
            limits: Limits::new(fuel, memory_bytes, time_ms, output_bytes, log_bytes),
            environment: environment.map(Environment::new).unwrap_or_default(),
        };
        let canceller = canceller.map(Bound::get);
        let mut report = Report::default();
        let done = py.detach(|| run_once(self, &terms, canceller, input, &mut report));
        done.map_err(|fault| raise_run(py, &fault, &report.usage))?;
        Outcome::of(py, &report, trace)
    }

    #[pyo3(signature = (*, memory = "memory", alloc = "alloc", entry = "append", headroom = 30, fuel = None,
                        memory_bytes = None, time_ms = None, output_bytes = None, log_bytes = None, canceller = None,
                        trace = false, environment = None))]
    #[allow(clippy::too_many_arguments)] // as above
    fn instantiate(
        &self,
        py: Python<'_>,
        memory: &str,
        alloc: &str,
        entry: &str,
        headroom: u32,
        fuel: Option<u64>,
        memory_bytes: Option<u64>,
        time_ms: Option<u64>,
        output_bytes: Option<u64>,
        log_bytes: Option<u64>,
        canceller: Option<Py<Canceller>>,
        trace: bool,
        environment: Option<&[u8]>,
    ) -> PyResult<Instance> {
        let terms = Terms {
            abi: Abi { memory: memory.into(), alloc: alloc.into(), entry: entry.into(), headroom },
            limits: Limits::new(fuel, memory_bytes, time_ms, output_bytes, log_bytes),
            environment: environment.map(Environment::new).unwrap_or_default(),
        };
        let loaded = self.loaded.clone();
        let mut report = Report::default();
        let opened = py.detach(|| {
            Instance::open(loaded, self.script.as_deref(), &self.image, terms, canceller, trace, &mut report)
        });
        opened.map_err(|fault| raise_run(py, &fault, &report.usage))
    }

    #[pyo3(signature = (*, memory = "memory", alloc = "alloc", entry = "append"))]
    fn check_abi(&self, py: Python<'_>, memory: &str, alloc: &str, entry: &str) -> PyResult<()> {
        let abi = Abi { memory: memory.into(), alloc: alloc.into(), entry: entry.into(), headroom: 0 };
        abi.check(&self.loaded.shape).map(drop).map_err(|fault| raise(py, fault))
    }
}
