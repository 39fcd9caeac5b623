//! Compiled code, as a module and its instances share it.

use super::imports::Linked;
use crate::host::Offer;

/// The code, shared by the module and its instances. Each module has an engine of its own: Wasmer frees code only with
/// its engine, takes a lock on it while compiling, and the metering serves one module.
pub struct Code {
    // Dropped in this order: the module takes its frame table down before the engine unmaps the code.
    pub module: wasmer::Module,
    _engine: wasmer::Engine,
    pub imports: Vec<Linked>,
}

impl Code {
    pub fn new(engine: wasmer::Engine, module: wasmer::Module, imports: Vec<&'static Offer>) -> Self {
        let imports = imports.into_iter().map(|offer| Linked::new(offer, &engine)).collect();
        Self { module, _engine: engine, imports }
    }
}
