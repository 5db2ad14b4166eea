//! Everything at once: a user on each wire, all of them in one room.
#![cfg(all(unix, feature = "server"))]
#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use common::exposition::Exposition;
use common::fake_websocket::FakeWebSocket;
use common::raw::{LONG, exchange, post, request, status};
use common::raw_websocket::{self, text};
use common::room_peers::{Ear, message, say_http, say_udp, websocket};
use common::rooms::{form, token_in};
use common::{console, minechat, pair_chat, rooms};
use serde_json::json;
use talk::Event as _;
use talk::hub::{Heard, Seat};
use talk::message::{Command, Event};
use talk::name::RoomName;
use talk::server::{Config, Server};
use tokio::io::AsyncWriteExt;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
