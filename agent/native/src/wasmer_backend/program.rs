//! Compiled code and what is needed to make instances of it.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Instant;

use wasmer::sys::{CompilerConfig, Cranelift, EngineBuilder, Features, NativeEngineExt};
use wasmer_types::target::{CpuFeature, Target, Triple};
use wasmer_types::{CompilationProgressCallback, CompileError, UserAbort};

use super::code::Code;
use super::guest::Guest;
use super::metering::Metering;
use super::slim::slim;
use super::tunables::Tunables;
use crate::engine;
use crate::fault::{Fault, Kind};
use crate::host::{Host, Offer};
use crate::limits::Limits;
use crate::machine::Machine;

/// What code can be made for from anywhere, with the features that each such processor has: Armv8.0-A, which is a
/// Raspberry Pi 3, and x86-64-v2, which is any since 2009 (below it, Cranelift calls library functions that Wasmer lacks).
const TARGETS: [(&str, &[CpuFeature]); 2] = [
    ("aarch64-unknown-linux-gnu", &[CpuFeature::NEON]),
    (
        "x86_64-unknown-linux-gnu",
        &[
            CpuFeature::SSE2,
            CpuFeature::SSE3,
            CpuFeature::SSSE3,
            CpuFeature::SSE41,
            CpuFeature::SSE42,
            CpuFeature::POPCNT,
        ],
    ),
];

pub struct Program(Arc<Code>);

impl engine::Program for Program {
    type Guest = Guest;

    fn engine() -> String {
        format!("wasmer {}", wasmer_vm::VERSION)
    }

    fn maker() -> String {
        format!("{} cranelift", Self::engine())
    }

    fn host() -> Machine {
        machine(&Triple::host().to_string(), CpuFeature::for_host().iter())
    }

    fn targets() -> Vec<&'static str> {
        available().map(|(name, _)| *name).collect()
    }

    fn target(triple: &str) -> Result<Machine, Fault> {
        let known = available().find(|(name, _)| *name == triple);
        known.map(|(name, features)| machine(name, features.iter().copied())).ok_or_else(|| {
            let message = format!(
                "nothing can be compiled for {triple:?} here: name one of {}, or leave the target out to compile for \
                 this machine",
                Self::targets().join(", ")
            );
            Fault::new(Kind::Usage, message)
        })
    }

    fn compile(wasm: &[u8], imports: Vec<&'static Offer>, machine: &Machine, deadline: Instant) -> Result<Self, Fault> {
        let mut compiler = Cranelift::default();
        // One thread: compiling happens beside running jobs, and its memory is bounded by one function at a time.
        compiler.num_threads(NonZero::<usize>::MIN);
        compiler.push_middleware(Arc::new(Metering::default()));
        let mut features = Features::none();
        features.reference_types(true).simd(true).bulk_memory(true).multi_value(true).extended_const(true);
        let builder = EngineBuilder::new(compiler).set_features(Some(features)).set_target(Some(target(machine)));
        let mut engine = wasmer::Engine::from(builder);
        engine.set_tunables(Tunables::for_compiling());
        let patience = CompilationProgressCallback::new(move |_| {
            if Instant::now() < deadline { Ok(()) } else { Err(UserAbort::new("it took too long")) }
        });
        let module = engine.new_module_with_progress(wasm, patience).map_err(compile_fault)?;
        Ok(Self(Arc::new(Code::new(engine, module, imports))))
    }

    fn load(code: &[u8], imports: Vec<&'static Offer>) -> Result<Self, Fault> {
        let engine = wasmer::Engine::from(EngineBuilder::headless());
        // SAFETY: the artifact's hash and fingerprint were checked: it is what `serialize` gave on an equal engine.
        let module = unsafe { wasmer::Module::deserialize(&engine, code) }.map_err(|error| {
            Fault::new(Kind::Artifact, format!("the engine refuses the artifact: {error}; compile the module again"))
        })?;
        Ok(Self(Arc::new(Code::new(engine, module, imports))))
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

/// Those of the targets that Cranelift was built with a back end for: a board's wheel leaves the others out.
fn available() -> impl Iterator<Item = &'static (&'static str, &'static [CpuFeature])> {
    TARGETS.iter().filter(|(name, _)| cranelift_codegen::isa::lookup(triple(name)).is_ok())
}

fn triple(name: &str) -> Triple {
    name.parse().expect("a triple of this backend")
}

fn machine(triple: &str, features: impl Iterator<Item = CpuFeature>) -> Machine {
    Machine { triple: triple.into(), features: features.map(|feature| feature.to_string()).collect() }
}

/// A machine that this backend named, in Wasmer's words.
fn target(machine: &Machine) -> Target {
    let features = machine.features.iter().filter_map(|feature| feature.parse::<CpuFeature>().ok()).collect();
    Target::new(triple(&machine.triple), features)
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
