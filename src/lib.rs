//! An embeddable, sharded, durable state-machine runtime made of supervised actors.

macro_rules! internal_modules {
    ($($(#[$attribute:meta])* mod $name:ident;)*) => {$(
        $(#[$attribute])*
        #[cfg(any(loom, feature = "internals"))]
        #[doc(hidden)]
        pub mod $name;
        $(#[$attribute])*
        #[cfg(not(any(loom, feature = "internals")))]
        mod $name;
    )*};
}

internal_modules! {
    mod model;
    mod protocol;
    mod state;
    mod storage;
    mod sync;
}
