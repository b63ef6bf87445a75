//! The registry slot of one who sends or receives: a handle's own, one that a port lends for a call, or none.

use super::Port;
use crate::channel::message::Message;
use crate::error::HandleError;
use crate::ring::claim_log::ClaimLog;

/// What a user of a shared ring tells of its claims, and to whom the registry slot goes back.
#[derive(Debug)]
pub(super) struct Registration {
    pub(super) sending: ClaimLog,
    pub(super) receiving: ClaimLog,
    lent: Option<usize>,
}

impl Registration {
    /// That of a handle.
    pub(super) fn own<M: Message>(port: &Port<M>, registry_slot: usize) -> Self {
        let [sending, receiving] = port.claim_logs(Some(registry_slot));
        Self { sending, receiving, lent: None }
    }

    /// One that the port lends, if its users need any.
    #[inline(always)]
    pub(super) fn lent<M: Message>(port: &Port<M>) -> Result<Self, HandleError> {
        let lent = port.lend_registry_slot()?;
        let [sending, receiving] = port.claim_logs(lent);
        Ok(Self { sending, receiving, lent })
    }

    /// Gives it back, after the last claim.
    #[inline(always)]
    pub(super) fn end<M: Message>(&mut self, port: &Port<M>) {
        if let Some(registry_slot) = self.lent.take() {
            port.give_registry_slot_back(registry_slot);
        }
    }
}
