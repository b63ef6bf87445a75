//! The Rust types that can be messages.

/// A type of which every pattern of bytes is a value, without padding.
///
/// # Safety
/// Reading any `size_of::<Self>()` bytes as `Self` must be sound, and so must reading all of a
/// value's bytes.
pub unsafe trait Plain: Copy + Send + 'static {}

macro_rules! plain {
    ($($number:ty),*) => {
        // SAFETY: numbers have no padding and no invalid patterns.
        $(unsafe impl Plain for $number {})*
    };
}

plain!(u8, u16, u32, u64, u128, i8, i16, i32, i64, i128, f32, f64);

// SAFETY: an array of plain items has neither padding nor invalid patterns of its own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}
