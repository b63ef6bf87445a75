//! Work without the GIL (or, where there is none, without holding up the interpreter).

use pyo3::ffi::{self, PyThreadState};
use pyo3::prelude::*;

/// Copying more bytes than this is worth letting other threads run.
pub(crate) const MUCH: usize = 1 << 18;

unsafe extern "C-unwind" {
    /// As in `pyo3::ffi`, but it may unwind: before CPython 3.14 it ends the thread, by
    /// `pthread_exit`, when the interpreter is shutting down.
    fn PyEval_RestoreThread(state: *mut PyThreadState);
}

/// Functions of CPython that run Python code, and so may end the thread in the same way: then it hangs there,
/// before what is dropped in its callers would run more.
macro_rules! hanging {
    ($(fn $name:ident($($argument:ident: $kind:ty),*) -> $result:ty;)*) => {
        mod unwinding {
            use super::ffi;

            unsafe extern "C-unwind" {
                $(pub(super) fn $name($($argument: $kind),*) -> $result;)*
            }
        }
        $(
            /// As in `pyo3::ffi`.
            ///
            /// # Safety
            /// As there.
            #[allow(non_snake_case, reason = "the name that it has in C")]
            pub(crate) unsafe fn $name($($argument: $kind),*) -> $result {
                let guard = HangUnlessPanicking;
                // SAFETY: as the caller says.
                let result = unsafe { unwinding::$name($($argument),*) };
                std::mem::forget(guard);
                result
            }
        )*
    };
}
hanging! {
    fn PyNumber_Index(object: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyFloat_AsDouble(object: *mut ffi::PyObject) -> f64;
    fn PyObject_GetIter(object: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyIter_Next(iterator: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyObject_Vectorcall(
        callable: *mut ffi::PyObject,
        arguments: *const *mut ffi::PyObject,
        positional: usize,
        names: *mut ffi::PyObject
    ) -> *mut ffi::PyObject;
}

/// Lets go of the interpreter, does `work`, and comes back.
///
/// A daemon thread that comes back while the interpreter shuts down hangs here for good, as CPython
/// 3.14 would have it; unwinding it through Rust would abort the process.
pub(crate) fn detached<T: Send>(_py: Python<'_>, work: impl FnOnce() -> T + Send) -> T {
    // SAFETY: `_py` shows that this thread is attached.
    let _back = Back(unsafe { ffi::PyEval_SaveThread() });
    work()
}

/// Attaches this thread again when dropped, also after a panic.
struct Back(*mut PyThreadState);

impl Drop for Back {
    fn drop(&mut self) {
        let hang = Hang;
        // SAFETY: the state is this thread's, from `PyEval_SaveThread`.
        unsafe { PyEval_RestoreThread(self.0) };
        std::mem::forget(hang);
    }
}

/// Stops a thread for good when dropped.
struct Hang;

impl Drop for Hang {
    fn drop(&mut self) {
        loop {
            std::thread::park();
        }
    }
}

/// Stops a thread for good that CPython ends in the middle of a call, as it does to daemon threads
/// that run Python code while the interpreter shuts down. Panics pass.
pub(crate) struct HangUnlessPanicking;

impl Drop for HangUnlessPanicking {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(Hang);
        }
    }
}

/// A pointer that may be used while the GIL is let go.
#[derive(Clone, Copy)]
pub(crate) struct Shared(pub(crate) *mut u8);

// SAFETY: it points to items whose owner waits for the call that uses them.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

impl Shared {
    pub(crate) fn get(self) -> *mut u8 {
        self.0
    }
}

/// A reference that a raw method drops. PyO3 does not know that such a method runs attached, and
/// would put the drop off; this one happens where it stands.
pub(crate) struct Attached(Option<Py<PyAny>>);

impl Attached {
    pub(crate) fn new(object: Py<PyAny>) -> Self {
        Self(Some(object))
    }

    pub(crate) fn into_bound(mut self, py: Python<'_>) -> Bound<'_, PyAny> {
        self.0.take().expect("it is taken once").into_bound(py)
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        // SAFETY: methods run attached.
        let py = unsafe { Python::assume_attached() };
        drop(self.0.take().map(|object| object.into_bound(py)));
    }
}
