//! Compiled code and what is needed to make instances of it.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use wasmer::sys::{CompilerConfig, Cranelift, EngineBuilder, Features, NativeEngineExt};
use wasmer_types::target::{CpuFeature, Triple};
use wasmer_types::{CompilationProgressCallback, CompileError, UserAbort};

use super::guest::Guest;
use super::imports::Linked;
use super::metering::Metering;
use super::slim::slim;
use super::tunables::Tunables;
use crate::engine;
use crate::fault::{Fault, Kind};
use crate::host::{Host, Offer};
use crate::limits::Limits;

/// The code, shared by the module and its instances. Each module has an engine of its own: Wasmer frees code only with
/// its engine, takes a lock on it while compiling, and the metering serves one module.
pub struct Code {
    // Dropped in this order: the module takes its frame table down before the engine unmaps the code.
    pub module: wasmer::Module,
    _engine: wasmer::Engine,
    pub imports: Vec<Linked>,
}

pub struct Program(Arc<Code>);

impl Program {
    fn new(engine: wasmer::Engine, module: wasmer::Module, imports: Vec<&'static Offer>) -> Self {
        let imports = imports.into_iter().map(|offer| Linked::new(offer, &engine)).collect();
        Self(Arc::new(Code { module, _engine: engine, imports }))
    }
}

impl engine::Program for Program {
    type Guest = Guest;

    fn engine() -> String {
        format!("wasmer {}", wasmer_vm::VERSION)
    }

    fn fingerprint() -> String {
        let mut features: Vec<_> = CpuFeature::for_host().iter().map(|feature| feature.to_string()).collect();
        features.sort();
        format!("{} cranelift; {}; {}", Self::engine(), Triple::host(), features.join(","))
    }

    fn compile(wasm: &[u8], imports: Vec<&'static Offer>, deadline: Instant) -> Result<Self, Fault> {
        let mut compiler = Cranelift::default();
        // One thread: compiling happens beside running jobs, and its memory is bounded by one function at a time.
        compiler.num_threads(NonZero::<usize>::MIN);
        compiler.push_middleware(Arc::new(Metering::default()));
        let mut features = Features::none();
        features.reference_types(true).simd(true).bulk_memory(true).multi_value(true).extended_const(true);
        let builder = EngineBuilder::new(compiler).set_features(Some(features));
        let mut engine = wasmer::Engine::from(builder);
        engine.set_tunables(Tunables::for_compiling());
        let patience = CompilationProgressCallback::new(move |_| {
            if Instant::now() < deadline { Ok(()) } else { Err(UserAbort::new("it took too long")) }
        });
        let module = engine.new_module_with_progress(wasm, patience).map_err(compile_fault)?;
        Ok(Self::new(engine, module, imports))
    }

    fn load(code: &[u8], imports: Vec<&'static Offer>) -> Result<Self, Fault> {
        let engine = wasmer::Engine::from(EngineBuilder::headless());
        // SAFETY: the artifact's hash and fingerprint were checked: it is what `serialize` gave on an equal engine.
        let module = unsafe { wasmer::Module::deserialize(&engine, code) }.map_err(|error| {
            Fault::new(Kind::Artifact, format!("the engine refuses the artifact: {error}; compile the module again"))
        })?;
        Ok(Self::new(engine, module, imports))
    }

    fn serialize(&self) -> Result<Vec<u8>, Fault> {
        let code = self.0.module.serialize();
        let code: Vec<u8> = code
            .map_err(|error| Fault::new(Kind::Artifact, format!("the module cannot be serialized: {error}")))?
            .into();
        Ok(slim(&code).unwrap_or(code))
    }

    fn instantiate(&self, limits: &Limits, host: Host) -> Result<Guest, Fault> {
        Guest::new(self.0.clone(), limits, host)
    }
}

fn compile_fault(error: CompileError) -> Fault {
    let message = match error {
        CompileError::Aborted(reason) => {
            format!("the compiler was stopped: {reason}; raise compile_ms or make the module smaller")
        }
        other => format!("the compiler gave up: {other}; please report this with the module"),
    };
    Fault::new(Kind::Compile, message)
}
