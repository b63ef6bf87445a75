//! The calls of a channel that needs no handle.

use std::ptr;

use bchan::{FramePort, FrameReceiver, FrameSender, Port, Receiver, Sender};
use pyo3::prelude::*;
use pyo3::{Borrowed, ffi};

use super::Channel;
use crate::call::Call;
use crate::errors::from_handle;
use crate::frames::buffer::Payload;
use crate::frames::receiving::{FrameInlet, take};
use crate::frames::sending::{FrameCall, FrameOutlet};
use crate::guard::{Access, is_home};
use crate::item::ItemType;
use crate::receiving::{Inlet, quietly, receive_bits};
use crate::references;
use crate::sending::{Outlet, send_bits};

impl Outlet for Channel {
    type Handle<'a> = Sender<&'a Port>;
    type Entry<'a> = Access;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, Sender<&Port>, Access>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, port) = self.enter()?;
        let mut handle = port.sender().map_err(from_handle)?;
        work(&mut Call { handle: &mut handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn send_fast(&self, item: Borrowed<'_, '_, PyAny>) -> bool {
        if let Some(port) = &self.port
            && self.is_under_the_gil
        {
            return is_home(self.made_in) && references::send_under_the_gil(port, item.as_ptr());
        }
        let Some(bits) = self.item.quick_bits(item) else { return false };
        let Some(port) = &self.port else { return false };
        if !is_home(self.made_in) {
            return false;
        }
        port.sender().is_ok_and(|mut tx| send_bits(&mut tx, &self.item, bits))
    }
}

impl Inlet for Channel {
    type Handle<'a> = Receiver<&'a Port>;
    type Entry<'a> = Access;

    #[inline(always)]
    fn item(&self) -> &ItemType {
        &self.item
    }

    #[inline(always)]
    fn receive_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut Call<'_, Receiver<&Port>, Access>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, port) = self.enter()?;
        let mut handle = port.receiver().map_err(from_handle)?;
        work(&mut Call { handle: &mut handle, entry, item: &self.item })
    }

    #[inline(always)]
    fn receive_fast(&self, py: Python<'_>) -> *mut ffi::PyObject {
        if let Some(port) = &self.port
            && self.is_under_the_gil
        {
            let is_home = is_home(self.made_in);
            return if is_home { references::receive_under_the_gil(port) } else { ptr::null_mut() };
        }
        match &self.port {
            Some(port) if is_home(self.made_in) && !self.item.is_numpys() => {
                let Ok(mut rx) = port.receiver() else { return ptr::null_mut() };
                quietly(py, receive_bits(py, &mut rx, &self.item))
            }
            _ => ptr::null_mut(),
        }
    }
}

impl FrameOutlet for Channel {
    type Handle<'a> = FrameSender<&'a FramePort>;
    type Entry<'a> = Access;

    #[inline(always)]
    fn send_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, FrameSender<&FramePort>, Access>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, port) = self.enter_with_frames()?;
        let mut handle = port.sender().map_err(from_handle)?;
        work(&mut FrameCall { handle: &mut handle, entry })
    }

    #[inline(always)]
    fn send_fast(&self, message: &impl Payload) -> bool {
        let Some(port) = &self.frame_port else { return false };
        if !is_home(self.made_in) || message.frame().len > self.most() {
            return false;
        }
        let Ok(mut tx) = port.sender() else { return false };
        message.put(&mut tx) == Ok(true)
    }

    #[inline(always)]
    fn most(&self) -> usize {
        self.core.max_len()
    }
}

impl FrameInlet for Channel {
    type Handle<'a> = FrameReceiver<&'a FramePort>;
    type Entry<'a> = Access;

    #[inline(always)]
    fn receive_with<T>(
        &self,
        _py: Python<'_>,
        work: impl FnOnce(&mut FrameCall<'_, FrameReceiver<&FramePort>, Access>) -> PyResult<T>,
    ) -> PyResult<T> {
        let (entry, port) = self.enter_with_frames()?;
        let mut handle = port.receiver().map_err(from_handle)?;
        work(&mut FrameCall { handle: &mut handle, entry })
    }

    #[inline(always)]
    fn receive_fast(&self, py: Python<'_>) -> *mut ffi::PyObject {
        let (Some(port), Ok(mut entry)) = (&self.frame_port, Access::new(self.made_in)) else {
            return ptr::null_mut();
        };
        let Ok(mut rx) = port.receiver() else { return ptr::null_mut() };
        quietly(py, take(py, &mut rx, &mut entry))
    }
}
