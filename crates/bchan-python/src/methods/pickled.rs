//! The hot methods for objects for any process.

use std::ptr;

use pyo3::ffi::{self, PyMethodDefPointer, PyObject};
use pyo3::prelude::*;

use super::{Methods, boolean, call, definition, none, number};
use crate::arguments::Arguments;
use crate::channel::Channel;
use crate::pickled::consumer::PickledConsumer;
use crate::pickled::producer::PickledProducer;
use crate::pickled::receiving::PickledInlet;
use crate::pickled::sending;
use crate::turns::{may_go_on, nothing};

pub(super) static PRODUCER_SENDING: Methods<5> = sending!(PickledProducer, sending, "item");
pub(super) static CHANNEL_SENDING: Methods<5> = sending!(Channel, sending, "item");

pub(super) static CONSUMER_RECEIVING: Methods<5> = receiving!(PickledConsumer, PickledInlet);
pub(super) static CHANNEL_RECEIVING: Methods<5> = receiving!(Channel, PickledInlet);
