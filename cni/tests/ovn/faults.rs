//! Runs that are killed, and parts of OVN that are away.

use std::time::Duration;

use super::world::world;
use crate::lab::{Container, Ran};

#[test]
fn an_add_that_is_killed_at_any_time_leaves_nothing_that_the_next_run_does_not_remove() {
    let Some(world) = world() else { return };
    let first = Container::new();
    let address = world.add(&first, "acme");
    // An ADD takes some 40 ms in a build without optimisation.
    for at in 0..24 {
        let container = Container::new();
        let mut child = world.begin("ADD", &container, &world.config());
        std::thread::sleep(Duration::from_millis(at * 4));
        child.kill().unwrap();
        child.wait().unwrap();
        if at % 2 == 0 {
            world.add(&container, "acme");
            assert!(world.pings(&container, &address), "killed after {} ms\n{}", at * 4, world.log());
        }
        world.del(&container);
        assert_eq!(world.rows().len(), 1, "killed after {} ms", at * 4);
        assert_eq!(world.plugged().len(), 1, "killed after {} ms", at * 4);
    }
    world.del(&first);
    world.expect_nothing_left(&[&first]);
}

#[test]
fn a_del_that_is_killed_at_any_time_is_completed_by_the_next() {
    let Some(world) = world() else { return };
    let container = Container::new();
    for at in 0..12 {
        world.add(&container, "acme");
        let mut child = world.begin("DEL", &container, &world.config());
        std::thread::sleep(Duration::from_millis(at * 4));
        child.kill().unwrap();
        child.wait().unwrap();
        world.del(&container);
        world.expect_nothing_left(&[&container]);
    }
}

#[test]
fn without_the_northbound_database_an_add_is_undone_and_a_del_is_completed_later() {
    let Some(world) = world() else { return };
    let [first, second] = [(); 2].map(|()| Container::new());
    world.add(&first, "acme");
    world.kill("nb");
    world.run("ADD", &second, &world.config()).error(11);
    assert_eq!(second.interfaces(), Vec::<String>::new());
    world.del(&first);
    assert_eq!(first.interfaces(), Vec::<String>::new());
    assert!(world.pending() > 0);
    world.start_part("nb");
    assert_eq!(world.rows().len(), 1);
    // Any later run completes them.
    world.add(&second, "acme");
    world.del(&second);
    world.expect_nothing_left(&[&first, &second]);
}

#[test]
fn without_the_hosts_own_database_an_add_is_undone_and_a_del_is_completed_later() {
    let Some(world) = world() else { return };
    let [first, second] = [(); 2].map(|()| Container::new());
    world.add(&first, "acme");
    world.kill("conf");
    world.run("ADD", &second, &world.config()).error(11);
    assert_eq!(second.interfaces(), Vec::<String>::new());
    world.del(&first);
    assert!(world.pending() > 0);
    world.start_part("conf");
    world.add(&second, "acme");
    world.del(&second);
    world.expect_nothing_left(&[&first, &second]);
}

#[test]
fn without_ovn_controller_an_add_fails_and_leaves_nothing() {
    let Some(world) = world() else { return };
    let container = Container::new();
    world.add(&container, "acme");
    world.del(&container);
    world.kill("controller");
    let mut config = world.config();
    config["add_timeout"] = 4.into();
    let error = world.run("ADD", &container, &config).error(11);
    assert!(error["msg"].as_str().unwrap().contains("ovn-controller did not bind"), "{error}");
    world.expect_nothing_left(&[&container]);
    world.start_part("controller");
    world.add(&container, "acme");
    world.kill("vswitchd");
    let second = Container::new();
    let error = world.run("ADD", &second, &config).error(11);
    assert!(error["msg"].as_str().unwrap().contains("ovs-vswitchd did not take"), "{error}");
    world.start_part("vswitchd");
    world.del(&container);
    world.expect_nothing_left(&[&container, &second]);
}

/// The northbound database dies while ADDs are under way: each ends, and what failed leaves nothing.
#[test]
fn a_database_that_dies_meanwhile_leaves_no_ports() {
    let Some(world) = world() else { return };
    let warm = Container::new();
    world.add(&warm, "acme");
    world.del(&warm);
    for at in 0..6 {
        let containers: Vec<Container> = (0..3).map(|_| Container::new()).collect();
        let begin = |container| world.begin("ADD", container, &world.config());
        let children: Vec<_> = containers.iter().map(begin).collect();
        std::thread::sleep(Duration::from_millis(at * 10));
        world.kill("nb");
        world.start_part("nb");
        for child in children {
            let _ = Ran::from(child);
        }
        for container in &containers {
            world.del(container);
        }
        world.expect_nothing_left(&containers.iter().collect::<Vec<_>>());
    }
}
