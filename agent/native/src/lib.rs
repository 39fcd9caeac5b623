//! waspi's binding to the WebAssembly engine: the extension module `waspi._wasmer`.
//!
//! `_wasmer.pyi` documents what Python sees. Inside, everything is written against the traits of `engine`; the engine
//! itself stands in `wasmer_backend` or, on 32-bit targets, in `wasmi_backend`.

mod abi;
mod artifact;
mod assemblyscript;
mod backend;
mod bounds;
mod buffer;
mod canceller;
mod dialogue;
mod emscripten;
mod ending;
mod engine;
mod errno;
mod fault;
mod features;
mod fingerprint;
mod guest_calls;
mod host;
mod image;
mod instance;
mod limits;
mod link;
mod loaded;
mod lockdown;
mod log;
mod machine;
mod module;
mod outcome;
mod raise;
mod report;
mod run;
mod shape;
mod strip;
mod survey;
mod text;
mod trap;
mod wasi;
mod wasi_clock;
#[cfg(not(any(feature = "wasmi", target_pointer_width = "32")))]
mod wasmer_backend;
#[cfg(any(feature = "wasmi", target_pointer_width = "32"))]
mod wasmi_backend;
mod watchdog;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use backend::Compiled;
use buffer::Lent;
use engine::Program;
use fault::{Fault, Kind, guarded};
use raise::raise;

/// See `_wasmer.pyi`.
#[pyfunction(name = "strip")]
fn strip_module<'py>(py: Python<'py>, wasm: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let lent = Lent::new(wasm)?;
    let bytes = lent.stable(py)?;
    let stripped = guarded(|| {
        if features::is_component(&bytes) {
            return Err(features::component());
        }
        strip::strip(&bytes).map_err(|error| {
            Fault::new(
                Kind::InvalidModule,
                format!("this is no WebAssembly module: {}; fetch it again", error.message()),
            )
        })
    });
    stripped.map(|stripped| PyBytes::new(py, &stripped.wasm)).map_err(|fault| raise(py, fault))
}

/// See `_wasmer.pyi`.
#[pyfunction]
fn locate(py: Python<'_>, wasm: &Bound<'_, PyAny>, function: u32, offset: u64) -> PyResult<(String, u64)> {
    let lent = Lent::new(wasm)?;
    let bytes = lent.stable(py)?;
    let found = guarded(|| {
        let shape = shape::Shape::read(&bytes).and_then(|shape| Ok((shape, strip::strip(&bytes)?.shift)));
        shape.map_err(|error| Fault::new(Kind::InvalidModule, error.message()))
    });
    let (shape, shift) = found.map_err(|fault| raise(py, fault))?;
    Ok((shape.function_name(function), offset.saturating_add(shift)))
}

/// See `_wasmer.pyi`.
#[pyfunction]
fn wat2wasm<'py>(py: Python<'py>, text: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let lent = Lent::new(text)?;
    let bytes = lent.stable(py)?;
    let wasm = guarded(|| text::translate(&bytes));
    wasm.map(|wasm| PyBytes::new(py, &wasm)).map_err(|fault| raise(py, fault))
}

#[pymodule]
fn _wasmer(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add("ENGINE", Compiled::engine())?;
    m.add("TARGET", target_lexicon::HOST.to_string())?;
    m.add("TARGETS", pyo3::types::PyTuple::new(m.py(), Compiled::targets())?)?;
    m.add("FINGERPRINT", fingerprint::Fingerprint::here().to_string())?;
    m.add_class::<bounds::Bounds>()?;
    m.add_class::<canceller::Canceller>()?;
    m.add_class::<outcome::Outcome>()?;
    m.add_class::<instance::Instance>()?;
    m.add_class::<module::Module>()?;
    m.add_function(wrap_pyfunction!(strip_module, m)?)?;
    m.add_function(wrap_pyfunction!(locate, m)?)?;
    m.add_function(wrap_pyfunction!(wat2wasm, m)?)?;
    lockdown::register(m)
}
