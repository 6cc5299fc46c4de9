// SPDX-License-Identifier: GPL-2.0-or-later
//! End-to-end tests: real charons, real packets, one test for each situation.

mod lab;
