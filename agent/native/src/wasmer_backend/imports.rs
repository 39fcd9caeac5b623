//! The host's offers as functions that generated code can call.

use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::NonNull;

use wasmer_types::{FunctionType, RawValue, Type};
use wasmer_vm::{
    InternalStoreHandle, MaybeInstanceOwned, StoreObjects, VMCallerCheckedAnyfunc, VMContext, VMDynamicFunctionContext,
    VMExtern, VMFunction, VMFunctionBody, VMFunctionContext, VMFunctionKind, VMMemoryDefinition, VMSignatureHash,
    on_host_stack, raise_user_trap, resume_panic,
};

use crate::host::{Halt, Host, Offer, View};

/// Parameters of the longest offer.
const PARAMS: usize = 10;

/// An offer with its type in this engine.
pub struct Linked {
    offer: &'static Offer,
    ty: FunctionType,
    hash: VMSignatureHash,
}

/// What host functions of one instance share. It does not move while the instance lives.
pub struct Env {
    pub host: Host,
    pub memory: Option<NonNull<VMMemoryDefinition>>,
}

impl Env {
    pub fn view(&self) -> View {
        self.memory.map_or(View { base: NonNull::dangling().as_ptr(), size: 0 }, |definition| {
            // SAFETY: the definition lies in the instance, and the guest does not run while the host looks.
            let definition = unsafe { definition.as_ref() };
            View { base: definition.base, size: definition.current_length }
        })
    }
}

/// Context of one host function.
struct Call {
    offer: &'static Offer,
    env: *mut Env,
}

type Context = VMDynamicFunctionContext<Call>;

impl Linked {
    pub fn new(offer: &'static Offer, engine: &wasmer::Engine) -> Self {
        let types = |letters: &str| letters.chars().map(wasm_type).collect::<Vec<_>>();
        let ty = FunctionType::new(types(offer.params), types(offer.result));
        let hash = engine.as_sys().register_signature(&ty);
        Self { offer, ty, hash }
    }

    /// A function of this offer for the instance whose environment is `env`.
    pub fn import(&self, objects: &mut StoreObjects, env: *mut Env) -> VMExtern {
        let context =
            Box::new(Context { address: enter as *const VMFunctionBody, ctx: Call { offer: self.offer, env } });
        let anyfunc = VMCallerCheckedAnyfunc {
            // The engine puts its own trampoline here when it links the import.
            func_ptr: std::ptr::null(),
            type_signature_hash: self.hash,
            vmctx: VMFunctionContext { host_env: std::ptr::from_ref(&*context) as *mut c_void },
            call_trampoline: called_by_host,
        };
        let function = VMFunction {
            anyfunc: MaybeInstanceOwned::Host(Box::new(UnsafeCell::new(anyfunc))),
            signature: self.ty.clone(),
            kind: VMFunctionKind::Dynamic,
            host_data: context,
        };
        VMExtern::Function(InternalStoreHandle::new(objects, function))
    }
}

fn wasm_type(letter: char) -> Type {
    match letter {
        'i' => Type::I32,
        'I' => Type::I64,
        _ => Type::F64,
    }
}

/// Called by generated code on the guest's stack with the arguments in `values`, where the result goes too.
unsafe extern "C-unwind" fn enter(context: *mut Context, values: *mut RawValue) {
    // No destructors may be pending and little may be allocated here: this is the guest's stack, and a trap cuts it off.
    let outcome = on_host_stack(|| {
        catch_unwind(AssertUnwindSafe(|| {
            // SAFETY: the context belongs to this import, the environment to this instance, which waits for the call.
            let call = unsafe { &(*context).ctx };
            let env = unsafe { &mut *call.env };
            unsafe { act(call.offer, env, values) }
        }))
    });
    match outcome {
        Ok(Ok(())) => {}
        // SAFETY: the guest's frames lie below, and nothing on this stack wants dropping.
        Ok(Err(halt)) => unsafe { raise_user_trap(halt) },
        Err(panic) => unsafe { resume_panic(panic) },
    }
}

/// # Safety
/// `values` has a slot for every parameter and for the result.
unsafe fn act(offer: &Offer, env: &mut Env, values: *mut RawValue) -> Result<(), Box<Halt>> {
    let mut args = [0_u64; PARAMS];
    for (index, letter) in offer.params.bytes().enumerate() {
        // SAFETY: the caller's contract.
        let value = unsafe { values.add(index).read_unaligned() };
        // SAFETY: every bit pattern is a number.
        args[index] = unsafe { if letter == b'i' { u64::from(value.u32) } else { value.u64 } };
    }
    let view = env.view();
    let word = (offer.act)(&mut env.host, view, &args[..offer.params.len()])?;
    let value = match offer.result {
        "" => return Ok(()),
        "i" => RawValue::from(word as u32 as i32),
        _ => RawValue::from(word as i64),
    };
    // SAFETY: the caller's contract.
    unsafe { values.write_unaligned(value) };
    Ok(())
}

/// Called when the host itself calls an import, as when a guest exports one as its `alloc`.
unsafe extern "C" fn called_by_host(vmctx: *mut VMContext, _: *const VMFunctionBody, values: *mut RawValue) {
    // SAFETY: a host function's context stands in the place of a vmctx.
    unsafe { enter(vmctx.cast(), values) };
}
