//! `midoform lab`: a network for a spec, on OVN in namespaces of this machine.

use std::path::Path;
use std::time::Duration;

use midoform_lab::{
    Datapath, Description, Folder, Ground, Lab, LabError, Place, Programs, Status, Target, Version,
};
use serde::Serialize;

use crate::args::{
    DatapathChoice, LabCommand, LabDownOptions, LabExecOptions, LabOptions, LabPingOptions, LabStatusOptions,
    LabTraceOptions, LabUpOptions,
};
use crate::error::{CommandError, Exit};
use crate::laboratory::layout::{self, Layout, Wishes};
use crate::laboratory::packet::{self, Packet};
use crate::laboratory::spec_copy::SpecCopy;
use crate::laboratory::{all, aside, folder_of, need_root, open, own_command, programs, spec_copy};
use crate::ui::Ui;

/// The first version of Open vSwitch whose userspace datapath is known to survive source NAT.
const SOUND_USERSPACE: (u32, u32) = (3, 5);

pub(crate) async fn run(ui: &Ui, options: &LabOptions) -> Result<Exit, CommandError> {
    match &options.command {
        LabCommand::Up(options) => up(ui, options).await,
        LabCommand::Exec(options) => exec(options),
        LabCommand::Ping(options) => ping(ui, options).await,
        LabCommand::Trace(options) => trace(ui, options),
        LabCommand::Status(options) => status(ui, options),
        LabCommand::Down(options) => down(ui, options).await,
    }
}

async fn up(ui: &Ui, options: &LabUpOptions) -> Result<Exit, CommandError> {
    need_root()?;
    let folder = Folder::named(&all(), &name_of(options)?)?;
    let root = programs(options.programs.as_deref())?;
    let found = Programs::find(root.as_deref())?;
    let copy = spec_copy::read(ui, options, &folder).await?;
    let before = Description::read(&folder)?;
    let ground = ground(options, &copy, root);
    if let Some(before) = before.as_ref().filter(|before| before.ground != ground) {
        let words = differences(&before.ground, &ground);
        let message = format!(
            "the laboratory {} is there already, with other {words}: `midoform lab down --name {}` deletes it",
            folder.name(),
            folder.name()
        );
        return Err(LabError::Conflict(message).into());
    }
    let wishes = Wishes {
        site: &ground.site,
        hosts: ground.hosts,
        host_of: &copy.site.hosts,
        pods: &options.pods,
        per_bridge: options.pods_per_bridge.map(usize::from),
        before: before.as_ref().map_or(&[], |before| &before.places),
    };
    let layout = layout::of(&copy.compiled.tenants, &wishes)?;
    let lock = folder.create()?;
    if Description::read(&folder)? != before {
        return Err(LabError::Busy(folder.path().to_path_buf()).into());
    }
    let spec = std::path::absolute(&options.path).unwrap_or_else(|_| options.path.clone());
    let mut description = Description::new(spec, ground);
    description.world_routes = layout::world_routes(&copy.compiled.tenants, &description.ground.world);
    description.targets = targets(&copy);
    description.places.clone_from(&layout.places);
    let lab = Lab { folder, description, programs: found };
    announce(ui, &lab, &layout)?;
    let obsolete: Vec<Place> = before.map_or(Vec::new(), |before| {
        before.places.into_iter().filter(|place| !layout.places.contains(place)).collect()
    });
    make(ui, lab, copy, layout, obsolete).await?;
    drop(lock);
    Ok(Exit::Done)
}

/// Makes what is missing of a laboratory. What it consists of is written down before anything is made.
async fn make(
    ui: &Ui,
    lab: Lab,
    copy: SpecCopy,
    layout: Layout,
    obsolete: Vec<Place>,
) -> Result<(), CommandError> {
    // What is to go stays written down until it is gone.
    let mut whole = lab.description.clone();
    whole.places.extend(obsolete.iter().cloned());
    whole.write(&lab.folder)?;
    copy.write(&lab.folder)?;
    let lab = aside(ui, move |say| {
        lab.start(say)?;
        lab.remove_places(&obsolete)?;
        lab.description.write(&lab.folder)?;
        Ok(lab)
    })
    .await?;
    ui.status("applying the spec");
    own_command::apply(ui, &lab.folder)?;
    let lab = aside(ui, move |say| {
        lab.add_pods(&layout.pods)?;
        lab.make_places(say)?;
        say("waiting until OVN has bound all ports");
        lab.wait_until_bound()?;
        Ok(lab)
    })
    .await?;
    let places = &lab.description.places;
    let example = |place: &Place| place.port_name().unwrap_or_else(|| place.name());
    ui.status(&format!(
        "The laboratory {} is up: {} places, and the world. `midoform lab status` lists them.",
        lab.folder.name(),
        places.len()
    ));
    if let [first, second, ..] = places.as_slice() {
        ui.status(&format!("Try: midoform lab ping {} {}", example(first), example(second)));
    }
    Ok(())
}

/// Returns the name of the laboratory: the one that the command line names, or that of the spec's folder.
fn name_of(options: &LabUpOptions) -> Result<String, CommandError> {
    if let Some(name) = &options.name {
        return Ok(name.clone());
    }
    let path = options.path.canonicalize().map_err(|error| CommandError::file(&options.path, error))?;
    let folder = if path.is_dir() { path.as_path() } else { path.parent().unwrap_or(&path) };
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let name: String = name.chars().map(plain).take(32).collect();
    let name = name.trim_matches('-');
    Ok(if name.is_empty() { "lab".to_owned() } else { name.to_owned() })
}

fn ground(options: &LabUpOptions, copy: &SpecCopy, programs: Option<std::path::PathBuf>) -> Ground {
    let datapath = match options.datapath {
        Some(DatapathChoice::Kernel) => Datapath::Kernel,
        Some(DatapathChoice::Userspace) => Datapath::Userspace,
        None => Datapath::of_machine(),
    };
    Ground {
        site: copy.compiled.site.name.value.clone(),
        programs,
        datapath,
        hosts: options.hosts,
        encapsulation: copy.site.encapsulation.clone(),
        underlay_mtu: copy.site.underlay_mtu,
        world: copy.site.world.clone(),
    }
}

/// Returns in words what differs between two laboratories.
fn differences(before: &Ground, after: &Ground) -> String {
    let parts = [
        ("site", before.site != after.site),
        ("programs", before.programs != after.programs),
        ("datapath", before.datapath != after.datapath),
        ("number of hosts", before.hosts != after.hosts),
        ("encapsulation", before.encapsulation != after.encapsulation),
        ("MTU between the hosts", before.underlay_mtu != after.underlay_mtu),
        ("network outside", before.world != after.world),
    ];
    let names: Vec<&str> = parts.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect();
    names.join(", ")
}

fn targets(copy: &SpecCopy) -> Vec<Target> {
    let exposes = copy.compiled.tenants.iter().flat_map(|tenant| &tenant.exposes);
    let target = |expose: &midoform_compiler::network::Expose| Target {
        tcp: expose.protocol == 6,
        address: expose.public,
        public: expose.public_port,
        port: expose.target_port,
    };
    exposes.map(target).collect()
}

/// Tells what is made, and what to know about it.
fn announce(ui: &Ui, lab: &Lab, layout: &Layout) -> Result<(), CommandError> {
    let shown = |version: Option<&Version>| {
        version.map_or("of an unknown version".to_owned(), |version| version.to_string())
    };
    let ovn = lab.programs.version("ovn-controller")?;
    let switch = lab.programs.version("ovs-vswitchd")?;
    let is_sound = |version: &Version| !version.is_before(SOUND_USERSPACE.0, SOUND_USERSPACE.1);
    let datapath = lab.description.ground.datapath;
    ui.status(&format!(
        "the laboratory {} in {}: OVN {}, Open vSwitch {}, {} datapath",
        lab.folder.name(),
        lab.folder.path().display(),
        shown(ovn.as_ref()),
        shown(switch.as_ref()),
        datapath.name()
    ));
    if datapath == Datapath::Userspace && !switch.as_ref().is_some_and(is_sound) {
        ui.notice(&format!(
            "warning: Open vSwitch {} may die of NAT in its userspace datapath (3.1 does): use a kernel with the module openvswitch, \
             or unpack a newer distribution and name its folder with --programs (docs/lab.md)",
            shown(switch.as_ref())
        ));
    }
    if layout.bridges_left_out > 0 {
        ui.notice(&format!(
            "note: the laboratory has {} places, which is enough: some bridges have fewer than two; --pods-per-bridge or --pod adds more",
            layout.places.len()
        ));
    }
    Ok(())
}

fn exec(options: &LabExecOptions) -> Result<Exit, CommandError> {
    let lab = open(&options.lab)?;
    let seat = lab.description.seat(&options.place)?;
    let [program, arguments @ ..] = options.command.as_slice() else {
        return Err(CommandError::Usage("name a command".to_owned()));
    };
    Err(lab.exec(seat, program, arguments).into())
}

/// What was seen of a packet.
#[derive(Serialize)]
struct Pinged<'a> {
    from: String,
    to: String,
    protocol: String,
    sent: usize,
    answered: usize,
    /// Where it arrived, and from which address.
    #[serde(skip_serializing_if = "Option::is_none")]
    arrived: Option<String>,
    outcome: &'a str,
    /// What midoform's trace says.
    #[serde(skip_serializing_if = "Option::is_none")]
    trace: Option<String>,
}

async fn ping(ui: &Ui, options: &LabPingOptions) -> Result<Exit, CommandError> {
    let lab = open(&options.lab)?;
    let (count, wait) = (options.count, Duration::from_secs(options.wait));
    let wanted = options.packet.clone();
    // Errors of the command line come before anything is sent.
    let (from, to, protocol) = {
        let packet = Packet::of(&lab, &wanted)?;
        (packet.from.name(), packet.to.address().to_string(), packet.protocol)
    };
    let (lab, seen) = aside(ui, move |_| {
        let seen = match Packet::of(&lab, &wanted) {
            Ok(packet) => packet::send(&lab, &packet, count, wait)?,
            Err(_) => Vec::new(),
        };
        Ok((lab, seen))
    })
    .await?;
    let answered =
        seen.iter().filter(|seen| matches!(seen.answer, midoform_lab::probe::Answer::Reply(_))).count();
    let outcome = packet::answers(protocol, &seen);
    let packet = Packet::of(&lab, &options.packet)?;
    let pinged = Pinged {
        from,
        to,
        protocol: protocol.to_string(),
        sent: seen.len(),
        answered,
        arrived: packet::where_it_arrived(&lab, &seen),
        outcome: &outcome,
        trace: packet::verdict(ui, &lab.folder, &packet)?,
    };
    match options.json {
        true => ui.json(&pinged)?,
        false => ui.data(|out| {
            writeln!(out, "{} → {}, {}: {outcome}", pinged.from, pinged.to, pinged.protocol)?;
            pinged.arrived.iter().try_for_each(|text| writeln!(out, "  {text}"))?;
            pinged.trace.iter().try_for_each(|text| writeln!(out, "  trace: {text}"))
        })?,
    }
    Ok(if answered > 0 { Exit::Done } else { Exit::NoAnswer })
}

fn trace(ui: &Ui, options: &LabTraceOptions) -> Result<Exit, CommandError> {
    let lab = open(&options.lab)?;
    let packet = Packet::of(&lab, &options.packet)?;
    let arguments = packet.trace_arguments();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let own = own_command::trace(ui, &lab.folder, &arguments)?;
    let theirs = match packet.microflow(&lab) {
        Some((switch, flow)) => Some((flow.clone(), lab.ovn_trace(&switch, &flow)?)),
        None => None,
    };
    ui.data(|out| {
        writeln!(out, "== midoform trace --engine ovn --live {}", arguments.join(" "))?;
        writeln!(out, "{}", own.as_deref().unwrap_or("no trace: see above"))?;
        match &theirs {
            Some((flow, text)) => write!(out, "== ovn-trace {flow}\n{text}"),
            None => writeln!(
                out,
                "== ovn-trace\nnone: it follows packets of places only, and this one comes from outside"
            ),
        }
    })?;
    Ok(Exit::Done)
}

fn status(ui: &Ui, options: &LabStatusOptions) -> Result<Exit, CommandError> {
    let status = open(&options.lab)?.status();
    match options.json {
        true => ui.json(&status)?,
        false => ui.data(|out| show(&status, out))?,
    }
    Ok(if status.is_whole { Exit::Done } else { Exit::Unhealthy })
}

fn show(status: &Status, out: &mut dyn std::io::Write) -> std::io::Result<()> {
    let words = if status.is_whole { "up" } else { "not whole: `midoform lab up` makes what is missing" };
    writeln!(out, "laboratory {}: {words}", status.name)?;
    writeln!(out, "  spec        {}", status.spec)?;
    writeln!(out, "  copy        {}/spec", status.folder)?;
    writeln!(out, "  northbound  {}", status.northbound)?;
    writeln!(out, "  datapath    {}", status.datapath)?;
    writeln!(out, "  world       {}, and every other address outside\n\ndaemons", status.world)?;
    for daemon in &status.daemons {
        let process =
            daemon.process.map_or("does not run".to_owned(), |process| format!("process {process}"));
        writeln!(out, "  {:8} {:14} {:11} {process}", daemon.part, daemon.program, daemon.name)?;
    }
    writeln!(out, "\nhosts")?;
    for host in &status.hosts {
        let state = if host.exists { "" } else { "  gone" };
        writeln!(out, "  {:8} namespace {}{state}", host.name, host.namespace)?;
    }
    writeln!(out, "\nplaces")?;
    for place in &status.places {
        let state = match place.is_up {
            Some(true) => "up",
            Some(false) => "not bound",
            None => "unknown",
        };
        let port = place.port.as_ref().map_or(String::new(), |port| format!(" ({port})"));
        writeln!(out, "  {}{port}  {}  {}  {state}", place.name, place.mac, place.host)?;
    }
    Ok(())
}

async fn down(ui: &Ui, options: &LabDownOptions) -> Result<Exit, CommandError> {
    need_root()?;
    let folders = if options.all { Folder::all(&all()) } else { vec![folder_of(&options.lab)?] };
    for folder in folders {
        refuse_inside(&folder)?;
        let name = folder.name().to_owned();
        let deleted = aside(ui, move |_| midoform_lab::down(&folder)).await?;
        let words = match deleted {
            midoform_lab::Deleted { processes: 0, namespaces: 0, folder: false } => {
                "there is nothing of it".to_owned()
            }
            deleted => {
                format!("{} processes and {} namespaces are gone", deleted.processes, deleted.namespaces)
            }
        };
        ui.status(&format!("the laboratory {name}: {words}"));
    }
    Ok(Exit::Done)
}

/// Refuses to delete a laboratory from a command that runs in it: it would end itself.
fn refuse_inside(folder: &Folder) -> Result<(), CommandError> {
    match std::env::var_os(midoform_lab::MARK) {
        Some(inside) if Path::new(&inside) == folder.path() => Err(CommandError::Usage(format!(
            "this command runs in the laboratory {}: leave it first",
            folder.name()
        ))),
        _ => Ok(()),
    }
}
