//! Places: namespaces with a veth pair, whose host's end is a port of br-int.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value as Json, json};

use crate::command::{run, wait_until};
use crate::description::{Place, Seat, host_name};
use crate::error::{LabError, Result, at};
use crate::lab::{CENTRAL, Lab};
use crate::namespace;
use crate::start::words;

/// The time in which OVN binds the ports.
const BOUND: Duration = Duration::from_secs(60);
/// The number of ports that one call of `ovs-vsctl` adds.
const AT_A_TIME: usize = 50;

/// The row of a pod's port, and the switch that it is on.
#[derive(Clone, Debug)]
pub struct PodRow {
    /// The name of its port.
    pub name: String,
    /// The name of its switch.
    pub switch: String,
    /// Its `_uuid`.
    pub uuid: String,
    /// Its columns, as the database's protocol writes them.
    pub columns: serde_json::Map<String, Json>,
}

impl Lab {
    /// Makes the places that are not there yet, and plugs them.
    ///
    /// # Errors
    /// When a program fails; another call goes on from there.
    pub fn make_places(&self, progress: &dyn Fn(&str)) -> Result<()> {
        let places = &self.description.places;
        let mut missing = Vec::new();
        for place in places {
            let is_there = namespace::exists(&Seat::Place(place).namespace(&self.folder));
            if !is_there || !self.mark(&place.host_interface())?.exists() {
                missing.push(place);
            }
        }
        if !missing.is_empty() {
            progress(&format!("making {} places", missing.len()));
        }
        for place in &missing {
            self.make_place(place)?;
            let mark = self.mark(&place.host_interface())?;
            fs::write(&mark, "").map_err(at(&mark))?;
        }
        for host in 1..=self.description.ground.hosts {
            let here: Vec<&Place> = places.iter().filter(|place| place.host == host).collect();
            for some in here.chunks(AT_A_TIME) {
                self.vsctl(host, &some.iter().flat_map(|place| plug(place)).collect::<Vec<_>>())?;
            }
        }
        Ok(())
    }

    fn make_place(&self, place: &Place) -> Result<()> {
        // A part of it may be left of a command that was killed.
        namespace::delete(&Seat::Place(place).namespace(&self.folder))?;
        let namespace = self.namespace(&place.host_interface())?;
        let host = self.folder.namespace(&host_name(place.host));
        let (near, mtu) = (place.host_interface(), place.mtu);
        let far = format!("peer name eth0 mtu {mtu} address {} netns {namespace}", place.mac);
        self.pair(&host, &format!("{near} mtu {mtu}"), &far)?;
        self.ip(
            &namespace,
            &format!(
                "addr add {}/{} dev eth0\nlink set eth0 up\nroute add default via {} dev eth0\n",
                place.address, place.prefix, place.gateway
            ),
        )?;
        self.fill_in_checksums(&namespace, "eth0")
    }

    /// Takes places away that the laboratory no longer has.
    ///
    /// # Errors
    /// When a program fails.
    pub fn remove_places(&self, places: &[Place]) -> Result<()> {
        for place in places {
            let _ = fs::remove_file(self.mark(&place.host_interface())?);
            self.vsctl(
                place.host,
                &words(&format!("--if-exists del-port br-int {}", place.host_interface())),
            )?;
            if place.port.is_none() {
                self.nbctl(&["--if-exists", "lsp-del", &place.logical_port])?;
            }
            namespace::delete(&Seat::Place(place).namespace(&self.folder))?;
        }
        Ok(())
    }

    /// Adds the rows of pods that are not there yet.
    ///
    /// # Errors
    /// When the database refuses them, or has no such switch.
    pub fn add_pods(&self, rows: &[PodRow]) -> Result<()> {
        let known = self.logical_ports()?;
        let known: BTreeSet<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        let missing: Vec<&PodRow> = rows.iter().filter(|row| !known.contains(row.name.as_str())).collect();
        for some in missing.chunks(AT_A_TIME) {
            let operations = some.iter().flat_map(|row| operations(row));
            let transaction: Vec<Json> = [json!("OVN_Northbound")].into_iter().chain(operations).collect();
            let mut command = self.command("ovsdb-client", CENTRAL);
            command.args(["transact", &self.northbound(), &Json::Array(transaction).to_string()]);
            let output = run(&mut command)?;
            let results: Vec<Json> = serde_json::from_str(&output)
                .map_err(|error| LabError::Northbound(format!("{error}: {output}")))?;
            if let Some(wrong) = results.iter().find(|result| !result["error"].is_null()) {
                return Err(LabError::Northbound(wrong.to_string()));
            }
            // An operation that changes no row is no error for the database.
            if results.iter().any(|result| result["count"] == 0) {
                return Err(LabError::Northbound("a bridge of the spec has no switch".to_owned()));
            }
        }
        Ok(())
    }

    /// Waits until OVN has bound the ports of all places, and every host has its flows.
    ///
    /// # Errors
    /// When some are not bound in time: the error names them.
    pub fn wait_until_bound(&self) -> Result<()> {
        self.nbctl(&["--wait=hv", "sync"])?;
        let logs = format!("the logs are in {}", self.folder.path().join("host*").display());
        let mut left = Vec::new();
        let waited = wait_until("the binding of the ports", BOUND, &logs, || {
            let up = self.logical_ports()?;
            let is_up = |place: &&Place| up.iter().any(|(name, is_up)| *is_up && *name == place.logical_port);
            left = self.description.places.iter().filter(|place| !is_up(place)).map(Place::name).collect();
            Ok(left.is_empty())
        });
        match waited {
            Err(LabError::Late { seconds, advice, .. }) => {
                Err(LabError::Late { what: format!("the binding of {}", left.join(", ")), seconds, advice })
            }
            other => other,
        }
    }

    /// Returns the MAC address of the gateway of a place, if OVN has its bridge.
    pub fn gateway_mac(&self, place: &Place) -> Option<String> {
        let port = format!("{}/gateway-port", place.logical_switch);
        let text = self.nbctl(&[
            "--bare",
            "--columns=mac",
            "find",
            "logical_router_port",
            &format!("name=\"{port}\""),
        ]);
        text.ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    }

    /// Returns the ports of all switches, each with whether it is bound.
    pub(crate) fn logical_ports(&self) -> Result<Vec<(String, bool)>> {
        let list = ["--format=json", "--columns=name,up", "list", "logical_switch_port"];
        let text = self.nbctl(&list)?;
        let table: Json =
            serde_json::from_str(&text).map_err(|error| LabError::Northbound(format!("{error}: {text}")))?;
        let rows = table["data"].as_array().cloned().unwrap_or_default();
        let port = |row: &Json| Some((row[0].as_str()?.to_owned(), row[1] == Json::Bool(true)));
        Ok(rows.iter().filter_map(port).collect())
    }
}

/// Returns the arguments of `ovs-vsctl` that plug a place.
fn plug(place: &Place) -> Vec<String> {
    let interface = place.host_interface();
    let mut arguments =
        words(&format!("-- --may-exist add-port br-int {interface} -- set interface {interface}"));
    arguments.push(format!("external_ids:iface-id=\"{}\"", place.logical_port));
    arguments.push(format!("external_ids:attached-mac=\"{}\"", place.mac));
    arguments
}

/// Returns the operations that add a pod's row.
fn operations(row: &PodRow) -> [Json; 2] {
    [
        json!({"op": "insert", "table": "Logical_Switch_Port", "uuid": row.uuid, "row": row.columns}),
        json!({
            "op": "mutate", "table": "Logical_Switch", "where": [["name", "==", row.switch]],
            "mutations": [["ports", "insert", ["set", [["uuid", row.uuid]]]]],
        }),
    ]
}
