//! Translated code.

use std::collections::BTreeSet;
use std::time::Instant;

use wasmi::{CompilationMode, Config, Engine, Module};

use super::guest::Guest;
use super::lift::lift;
use crate::engine;
use crate::fault::{Fault, Kind};
use crate::host::{Host, Offer};
use crate::limits::Limits;
use crate::machine::Machine;

/// The version of the crate, as in `Cargo.toml`.
const VERSION: &str = "1.1.0";
/// Bytes of the guest's stack, as on Wasmer.
const STACK: usize = 1 << 20;
/// Calls within calls; wasmi keeps some 30 bytes for each beside the stack.
const DEPTH: usize = STACK / 32;

pub struct Program {
    engine: Engine,
    module: Module,
    imports: Vec<&'static Offer>,
    /// The stripped module, which is the artifact.
    wasm: Vec<u8>,
}

fn translate(wasm: &[u8]) -> Result<(Engine, Module), String> {
    let mut config = Config::default();
    config
        .consume_fuel(true)
        // Lazily, the guest would pay for its translation.
        .compilation_mode(CompilationMode::Eager)
        .set_max_stack_height(STACK)
        .set_max_recursion_depth(DEPTH)
        // No run begins on the stack of the one before it.
        .set_max_cached_stacks(0)
        .wasm_multi_memory(false)
        .wasm_tail_call(false)
        .wasm_custom_page_sizes(false)
        .wasm_wide_arithmetic(false);
    let engine = Engine::new(&config);
    let lifted = lift(wasm).map_err(|error| error.to_string())?;
    let module = Module::new(&engine, &lifted).map_err(|error| error.to_string())?;
    Ok((engine, module))
}

impl engine::Program for Program {
    type Guest = Guest;

    fn engine() -> String {
        format!("wasmi {VERSION}")
    }

    fn maker() -> String {
        Self::engine()
    }

    fn host() -> Machine {
        Machine { triple: target_lexicon::HOST.to_string(), features: BTreeSet::new() }
    }

    fn targets() -> Vec<&'static str> {
        Vec::new()
    }

    fn target(triple: &str) -> Result<Machine, Fault> {
        let message = format!(
            "nothing can be compiled for {triple:?} here: the engine is {}, an interpreter, whose artifact is the module \
             itself; leave the target out",
            Self::engine()
        );
        Err(Fault::new(Kind::Usage, message))
    }

    /// Translation is linear in the module's length, which is bounded: the deadline needs no watching.
    fn compile(wasm: &[u8], imports: Vec<&'static Offer>, _: &Machine, _: Instant) -> Result<Self, Fault> {
        let (engine, module) = translate(wasm).map_err(|error| {
            let message = format!("the translator gave up: {error}; please report this with the module");
            Fault::new(Kind::Compile, message)
        })?;
        Ok(Self { engine, module, imports, wasm: wasm.to_vec() })
    }

    fn load(code: &[u8], imports: Vec<&'static Offer>) -> Result<Self, Fault> {
        let (engine, module) = translate(code).map_err(|error| {
            Fault::new(Kind::Artifact, format!("the engine refuses the artifact: {error}; compile the module again"))
        })?;
        Ok(Self { engine, module, imports, wasm: code.to_vec() })
    }

    fn serialize(&self) -> Result<Vec<u8>, Fault> {
        Ok(self.wasm.clone())
    }

    fn instantiate(&self, limits: &Limits, host: Host) -> Result<Guest, Fault> {
        Ok(Guest::new(&self.engine, &self.module, &self.imports, limits, host))
    }
}
