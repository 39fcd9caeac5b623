//! The host's offers as wasmi's host functions.

use wasmi::{Caller, Error, F32, F64, Func, FuncType, Memory, ResourceLimiter, Store, StoreLimits, Val, ValType};
use wasmi_core::LimiterError;

use crate::host::{Halt, Host, Offer, Refusal, View};

/// What host functions of one instance share.
pub struct Env {
    pub host: Host,
    pub limits: StoreLimits,
    pub memory: Option<Memory>,
}

impl wasmi::errors::HostError for Halt {}

/// The limits' own, which notes what memory was refused.
impl ResourceLimiter for Env {
    fn memory_growing(&mut self, now: usize, wanted: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        let granted = self.limits.memory_growing(now, wanted, maximum)?;
        if !granted && maximum.is_none_or(|own| wanted <= own) {
            self.host.refused = Some(Refusal { size: now as u64, growth: (wanted - now) as u64 });
        }
        Ok(granted)
    }

    fn table_growing(&mut self, now: usize, wanted: usize, maximum: Option<usize>) -> Result<bool, LimiterError> {
        self.limits.table_growing(now, wanted, maximum)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}

/// A function of this offer.
pub fn import(store: &mut Store<Env>, offer: &'static Offer) -> Func {
    let types = |letters: &str| letters.chars().map(wasm_type).collect::<Vec<_>>();
    let ty = FuncType::new(types(offer.params), types(offer.result));
    Func::new(store, ty, move |mut caller: Caller<'_, Env>, params, results| {
        let args: Vec<u64> = params.iter().map(word).collect();
        let view = view(&caller, caller.data().memory);
        let answer = (offer.act)(&mut caller.data_mut().host, view, &args).map_err(Error::host)?;
        if let Some(result) = results.first_mut() {
            *result = value(offer.result, answer);
        }
        Ok(())
    })
}

/// The memory as it is now; empty while there is none.
pub fn view(context: impl wasmi::AsContext, memory: Option<Memory>) -> View {
    memory.map_or(View { base: std::ptr::NonNull::dangling().as_ptr(), size: 0 }, |memory| View {
        base: memory.data_ptr(&context),
        size: memory.data_size(&context),
    })
}

fn wasm_type(letter: char) -> ValType {
    match letter {
        'i' => ValType::I32,
        'I' => ValType::I64,
        _ => ValType::F64,
    }
}

/// Raw bits of a number.
pub fn word(value: &Val) -> u64 {
    match value {
        Val::I32(number) => u64::from(*number as u32),
        Val::I64(number) => *number as u64,
        Val::F32(number) => u64::from(number.to_bits()),
        Val::F64(number) => number.to_bits(),
        _ => 0,
    }
}

/// A number of the type of `like`.
pub fn with_bits(like: &Val, bits: u64) -> Val {
    match like {
        Val::I32(_) => Val::I32(bits as u32 as i32),
        Val::F32(_) => Val::F32(F32::from_bits(bits as u32)),
        Val::F64(_) => Val::F64(F64::from_bits(bits)),
        _ => Val::I64(bits as i64),
    }
}

fn value(letter: &str, word: u64) -> Val {
    match letter {
        "i" => Val::I32(word as u32 as i32),
        "I" => Val::I64(word as i64),
        _ => Val::F64(F64::from_bits(word)),
    }
}
