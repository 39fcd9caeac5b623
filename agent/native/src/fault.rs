//! What can go wrong, before it becomes a Python exception (`raise.rs`).

/// One class of `waspi.errors` each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    InvalidModule,
    UnsupportedFeature,
    ModuleTooLarge,
    Link,
    Compile,
    Artifact,
    MissingExport,
    WrongSignature,
    Pointer,
    Overrun,
    Unreachable,
    MemoryOutOfBounds,
    TableOutOfBounds,
    IndirectCall,
    DivisionByZero,
    IntegerOverflow,
    StackOverflow,
    Abort,
    Exit,
    /// The three that a guest says itself, by `waspi.fail`.
    Exception,
    BadInput,
    InvalidScript,
    Trap,
    FuelLimit,
    MemoryLimit,
    TimeLimit,
    OutputLimit,
    Canceled,
    InputTooLarge,
    /// A call on an instance that an earlier failure has spent.
    Spent,
    /// A call with arguments that nothing is known of.
    Usage,
    /// The board: no address space, no thread.
    Device,
    /// A panic or another fault of waspi or its engine.
    Internal,
}

impl Kind {
    /// Name of the class in `waspi.errors`.
    pub fn class(self) -> &'static str {
        match self {
            Self::InvalidModule => "InvalidModuleError",
            Self::UnsupportedFeature => "UnsupportedFeatureError",
            Self::ModuleTooLarge => "ModuleTooLargeError",
            Self::Link => "LinkError",
            Self::Compile => "CompileError",
            Self::Artifact => "ArtifactError",
            Self::MissingExport => "MissingExportError",
            Self::WrongSignature => "WrongSignatureError",
            Self::Pointer => "PointerError",
            Self::Overrun => "OverrunError",
            Self::Unreachable => "UnreachableTrap",
            Self::MemoryOutOfBounds => "MemoryOutOfBoundsTrap",
            Self::TableOutOfBounds => "TableOutOfBoundsTrap",
            Self::IndirectCall => "IndirectCallTrap",
            Self::DivisionByZero => "DivisionByZeroTrap",
            Self::IntegerOverflow => "IntegerOverflowTrap",
            Self::StackOverflow => "StackOverflowTrap",
            Self::Abort => "AbortTrap",
            Self::Exit => "ExitTrap",
            Self::Exception => "ExceptionError",
            Self::BadInput => "BadInputError",
            Self::InvalidScript => "InvalidScriptError",
            Self::Trap => "Trap",
            Self::FuelLimit => "FuelLimitError",
            Self::MemoryLimit => "MemoryLimitError",
            Self::TimeLimit => "TimeLimitError",
            Self::OutputLimit => "OutputLimitError",
            Self::Canceled => "CanceledError",
            Self::InputTooLarge => "InputTooLargeError",
            Self::Spent => "GuestError",
            Self::Usage => "UsageError",
            Self::Device => "DeviceError",
            Self::Internal => "WaspiError",
        }
    }
}

/// A failure with its one-line message for people.
#[derive(Clone, Debug)]
pub struct Fault {
    pub kind: Kind,
    pub message: String,
    /// The guest function in which it happened.
    pub function: Option<String>,
    /// Byte offset in the module as it was given to `compile`.
    pub offset: Option<u64>,
    /// Status of `proc_exit`.
    pub code: Option<u32>,
}

impl Fault {
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), function: None, offset: None, code: None }
    }

    pub fn at(mut self, offset: u64) -> Self {
        self.offset = Some(offset);
        self
    }

    /// The board has no memory or address space for `what`.
    pub fn out_of_memory(what: &str) -> Self {
        let message = format!("this device has no memory left for the run ({what}): free some, or lower the limits");
        Self::new(Kind::Device, message)
    }

    /// From the payload of a panic that was caught at the border.
    pub fn panic(payload: &(dyn std::any::Any + Send)) -> Self {
        let text = payload
            .downcast_ref::<&str>()
            .map(ToString::to_string)
            .or_else(|| payload.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "no message".into());
        Self::new(Kind::Internal, format!("the native module panicked: {text}; please report this as a bug of waspi"))
    }
}

/// One printable line: guests choose the names and texts that stand in messages.
pub fn printable(text: &str) -> String {
    const LONGEST: usize = 1_000;
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        let plain = matches!(letter, ' '..='~') || letter.escape_debug().count() == 1;
        if plain {
            line.push(letter);
        } else {
            line.extend(letter.escape_default());
        }
        if line.len() > LONGEST {
            line.push_str(" ...");
            break;
        }
    }
    line
}

/// Run `work` so that a panic in it becomes a [`Fault`].
pub fn guarded<T>(work: impl FnOnce() -> Result<T, Fault>) -> Result<T, Fault> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|payload| Err(Fault::panic(payload.as_ref())))
}
