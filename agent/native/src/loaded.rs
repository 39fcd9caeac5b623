//! A module in the process: its code, its shape, and where it came from.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::abi::Abi;
use crate::artifact::Artifact;
use crate::backend::Compiled;
use crate::bounds::Bounds;
use crate::engine::{Program, link};
use crate::fault::{Fault, Kind, guarded};
use crate::fingerprint::Fingerprint;
use crate::host::Offer;
use crate::image;
use crate::machine::Machine;
use crate::shape::Shape;
use crate::strip::strip;
use crate::survey::survey;

pub struct Loaded {
    program: Compiled,
    pub shape: Shape,
    /// Of the bytes that `compile` was given, in hexadecimal digits.
    pub sha256: String,
    /// From offsets in the stripped module's code to offsets in the original.
    pub shift: u64,
    skeleton: Vec<u8>,
    fingerprint: Fingerprint,
    /// Whether it was compiled for a machine that the caller named.
    exported: bool,
}

impl Loaded {
    /// Survey, link, strip and compile, in this order: nothing is compiled that could not run.
    ///
    /// With a `target` it is compiled for the least machine of that triple, and can only be serialized.
    ///
    /// With an `abi` its exports are checked before anything is compiled, too.
    pub fn compile(wasm: &[u8], bounds: &Bounds, target: Option<&str>, abi: Option<&Abi>) -> Result<Self, Fault> {
        let machine = target.map_or_else(|| Ok(Compiled::host()), Compiled::target)?;
        let deadline = Instant::now() + Duration::from_millis(bounds.compile_ms);
        survey(wasm, bounds)?;
        let read = |error: wasmparser::BinaryReaderError| Fault::new(Kind::InvalidModule, error.message());
        let mut shape = Shape::read(wasm).map_err(read)?;
        shape.imageable = image::is_possible(wasm).map_err(read)?; // whatever the module says of itself
        let imports = link(&shape)?;
        if let Some(abi) = abi {
            abi.check(&shape)?;
        }
        let skeleton = shape.skeleton(wasm).map_err(read)?;
        let stripped = strip(wasm).map_err(read)?;
        let program = compile(&stripped.wasm, imports, &machine, deadline)?;
        let sha256 = Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            program,
            shape,
            sha256,
            shift: stripped.shift,
            skeleton,
            fingerprint: Fingerprint::of(machine),
            exported: target.is_some(),
        })
    }

    pub fn load(bytes: &[u8]) -> Result<Self, Fault> {
        let artifact = Artifact::unpack(bytes)?;
        let skeleton = artifact.skeleton.to_vec();
        let shape = Shape::read(&skeleton)
            .map_err(|error| Fault::new(Kind::Artifact, format!("the artifact's skeleton is damaged: {error}")))?;
        let program = Compiled::load(artifact.code, link(&shape)?)?;
        Ok(Self {
            program,
            shape,
            sha256: artifact.sha256,
            shift: artifact.shift,
            skeleton,
            fingerprint: artifact.fingerprint,
            exported: false,
        })
    }

    /// The code, to be run here.
    pub fn program(&self) -> Result<&Compiled, Fault> {
        if !self.exported {
            return Ok(&self.program);
        }
        let message = format!(
            "this module was compiled for the target {}, to be serialized only: load its artifact there, or compile \
             without a target to run it here",
            self.fingerprint.machine.triple
        );
        Err(Fault::new(Kind::Artifact, message))
    }

    pub fn serialize(&self) -> Result<Vec<u8>, Fault> {
        let code = self.program.serialize()?;
        let artifact = Artifact {
            fingerprint: self.fingerprint.clone(),
            sha256: self.sha256.clone(),
            shift: self.shift,
            skeleton: &self.skeleton,
            code: &code,
        };
        Ok(artifact.pack())
    }
}

/// A compiler that panics has a bug, or met a module that was made for it to fail.
fn compile(wasm: &[u8], imports: Vec<&'static Offer>, machine: &Machine, deadline: Instant) -> Result<Compiled, Fault> {
    guarded(|| Compiled::compile(wasm, imports, machine, deadline)).map_err(|fault| match fault.kind {
        Kind::Internal => Fault { kind: Kind::Compile, ..fault },
        _ => fault,
    })
}
