//! What a module may declare before it is compiled.

use pyo3::prelude::*;

use crate::fault::{Fault, Kind};

/// Targets of all `br_table`s in one function.
pub const BRANCH_TARGETS: u64 = 65_536;
/// Locals times ways through one function (blocks, branches, targets): what SSA form may cost in time and memory.
pub const WEB: u64 = 4_000_000;
/// Loops of one function; Cranelift's time grows with the square of their number.
pub const LOOPS: u64 = 2_000;
/// Values that one function may have on its stack at once.
pub const OPERANDS: u32 = 4_096;
/// Entries of the type section.
pub const TYPES: u32 = 10_000;
/// Imports; what the host offers fits many times.
pub const IMPORTS: u32 = 1_000;
/// Exports.
pub const EXPORTS: u32 = 10_000;
/// Bytes of one import's, export's or function's name.
pub const NAME_BYTES: usize = 1_024;
/// Results of one function type.
pub const RESULTS: usize = 16;
/// Tables of one module.
pub const TABLES: u32 = 16;
/// Sections, custom ones included.
pub const SECTIONS: u32 = 1_000;

/// The part of the bounds that callers set; the rest are the constants above.
#[pyclass(frozen, module = "waspi._wasmer")]
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    #[pyo3(get)]
    pub module_bytes: u64,
    #[pyo3(get)]
    pub functions: u64,
    #[pyo3(get)]
    pub body_bytes: u64,
    #[pyo3(get)]
    pub locals: u64,
    #[pyo3(get)]
    pub params: u64,
    #[pyo3(get)]
    pub memory_bytes: u64,
    #[pyo3(get)]
    pub table_elements: u64,
    #[pyo3(get)]
    pub nesting: u64,
    #[pyo3(get)]
    pub globals: u64,
    #[pyo3(get)]
    pub data_segments: u64,
    #[pyo3(get)]
    pub code_bytes: u64,
    #[pyo3(get)]
    pub compile_ms: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            module_bytes: 16 << 20,
            functions: 20_000,
            body_bytes: 256 << 10,
            locals: 4_096,
            params: 128,
            memory_bytes: 64 << 20,
            table_elements: 65_536,
            nesting: 4_096,
            globals: 4_096,
            data_segments: 100_000,
            code_bytes: 4 << 20,
            compile_ms: 60_000,
        }
    }
}

#[pymethods]
impl Bounds {
    #[new]
    #[pyo3(signature = (*, module_bytes = 16_777_216, functions = 20_000, body_bytes = 262_144, locals = 4_096,
                        params = 128, memory_bytes = 67_108_864, table_elements = 65_536, nesting = 4_096,
                        globals = 4_096, data_segments = 100_000, code_bytes = 4_194_304, compile_ms = 60_000))]
    #[allow(clippy::too_many_arguments)] // each is a keyword with a default in Python
    fn new(
        module_bytes: u64,
        functions: u64,
        body_bytes: u64,
        locals: u64,
        params: u64,
        memory_bytes: u64,
        table_elements: u64,
        nesting: u64,
        globals: u64,
        data_segments: u64,
        code_bytes: u64,
        compile_ms: u64,
    ) -> Self {
        Self {
            module_bytes,
            functions,
            body_bytes,
            locals,
            params,
            memory_bytes,
            table_elements,
            nesting,
            globals,
            data_segments,
            code_bytes,
            compile_ms,
        }
    }

    fn __repr__(&self) -> String {
        format!(
            "Bounds(module_bytes={}, functions={}, body_bytes={}, locals={}, params={}, memory_bytes={}, \
             table_elements={}, nesting={}, globals={}, data_segments={}, code_bytes={}, compile_ms={})",
            self.module_bytes,
            self.functions,
            self.body_bytes,
            self.locals,
            self.params,
            self.memory_bytes,
            self.table_elements,
            self.nesting,
            self.globals,
            self.data_segments,
            self.code_bytes,
            self.compile_ms,
        )
    }
}

/// Refuse `found` of `what` when it is beyond a bound that the caller sets.
pub fn within(what: &str, found: u64, bound: u64) -> Result<(), Fault> {
    check(what, found, bound, "make the module smaller or raise the bound")
}

/// Refuse `found` of `what` when it is beyond one of the constants above.
pub fn fixed(what: &str, found: u64, bound: u64) -> Result<(), Fault> {
    check(what, found, bound, "make it smaller")
}

fn check(what: &str, found: u64, bound: u64, advice: &str) -> Result<(), Fault> {
    if found <= bound {
        return Ok(());
    }
    Err(Fault::new(Kind::ModuleTooLarge, format!("the module has {found} {what}, the bound is {bound}: {advice}")))
}
