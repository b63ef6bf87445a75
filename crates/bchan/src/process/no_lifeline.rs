//! Lifelines where nobody executes another program.

/// None.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lifeline(pub(crate) u64);

impl Lifeline {
    #[cfg_attr(loom, allow(dead_code))]
    pub(crate) const NONE: Self = Self(1);

    pub(crate) fn mine() -> Self {
        Self(0)
    }
}
