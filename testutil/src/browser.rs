//! A headless Chromium that is controlled over its DevTools protocol
//! (<https://chromedevtools.github.io/devtools-protocol/>).

use std::collections::VecDeque;
use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket, client, http::Uri};

/// The time limit for a response; shared machines are slow.
const PATIENCE: Duration = Duration::from_secs(60);

/// The names of the program on Debian and others.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser with one page. It ends when it is dropped.
pub struct Browser {
    child: Child,
    _profile: tempfile::TempDir,
    socket: WebSocket<TcpStream>,
    session: String,
    next: u64,
    /// The events of the page since they were last cleared, in order.
    events: VecDeque<Value>,
}

impl Browser {
    /// Starts a browser; none if no Chromium is installed.
    pub fn start() -> Option<Browser> {
        let name = NAMES.into_iter().find(|name| Command::new(name).arg("--version").output().is_ok())?;
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut child = Command::new(name)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--force-color-profile=srgb", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("about:blank")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the browser can be started");
        let said = BufReader::new(child.stderr.take().expect("its standard error is piped"));
        let mut lines = said.lines().map_while(Result::ok);
        let url = lines
            .find_map(|line| line.strip_prefix("DevTools listening on ").map(str::to_owned))
            .expect("the browser says where it listens");
        // The rest of its standard error has to be read: a full pipe would stop it.
        std::thread::spawn(move || lines.for_each(drop));
        let uri: Uri = url.parse().expect("a URL");
        let stream = TcpStream::connect((uri.host().unwrap_or("127.0.0.1"), uri.port_u16().unwrap_or(0)))
            .expect("the browser listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout can be set");
        let (socket, _) = client(uri, stream).expect("the browser speaks WebSocket");
        let session = String::new();
        let mut browser =
            Browser { child, _profile: profile, socket, session, next: 0, events: VecDeque::new() };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}));
        let attached =
            browser.call("Target.attachToTarget", json!({"targetId": target["targetId"], "flatten": true}));
        browser.session = attached["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log", "Network"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        Some(browser)
    }

    /// Calls a method of the protocol.
    #[track_caller]
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.next += 1;
        let mut message = json!({"id": self.next, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = Value::from(self.session.as_str());
        }
        self.socket.send(Message::text(message.to_string())).expect("the browser takes calls");
        loop {
            let answer = self.receive();
            if answer["id"] == self.next {
                assert!(answer["error"].is_null(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.events.push_back(answer);
        }
    }

    #[track_caller]
    fn receive(&mut self) -> Value {
        loop {
            match self.socket.read().expect("the browser answers in time") {
                Message::Text(text) => return serde_json::from_str(&text).expect("JSON"),
                Message::Close(_) => panic!("the browser has gone"),
                _ => {}
            }
        }
    }

    /// Waits for an event.
    #[track_caller]
    fn wait_for(&mut self, method: &str) {
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            let event = self.receive();
            let found = event["method"] == method;
            self.events.push_back(event);
            if found {
                return;
            }
        }
        panic!("{method} did not happen");
    }

    /// Sets the size of the window, in CSS pixels.
    pub fn resize(&mut self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Sets what the page is shown on: a medium (`screen`, `print`) and a colour scheme (`light`, `dark`).
    pub fn media(&mut self, medium: &str, scheme: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", json!({"media": medium, "features": features}));
    }

    /// Opens an address and waits until it is loaded.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        // Another page first: else an address that differs only in its fragment would not be loaded again.
        self.call("Page.navigate", json!({"url": "about:blank"}));
        self.wait_for("Page.loadEventFired");
        self.events.clear();
        self.call("Page.navigate", json!({"url": url}));
        self.wait_for("Page.loadEventFired");
    }

    /// Evaluates an expression on the page, and waits for its promise.
    #[track_caller]
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", parameters);
        assert!(answer["exceptionDetails"].is_null(), "{expression}: {}", answer["exceptionDetails"]);
        answer["result"]["value"].clone()
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, expression: &str) {
        let asked = Instant::now();
        while self.evaluate(&format!("Boolean({expression})")) != true {
            assert!(asked.elapsed() < PATIENCE, "never true: {expression}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Presses a key, by its name in the protocol (`Enter`, `ArrowDown`, `/`).
    pub fn press(&mut self, key: &str) {
        let mut down = json!({"type": "keyDown", "key": key});
        if key.chars().count() == 1 {
            down["text"] = Value::from(key);
        }
        if key == "Enter" {
            down["text"] = Value::from("\r");
        }
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "ArrowUp" => 38,
            "ArrowDown" => 40,
            _ => 0,
        };
        down["windowsVirtualKeyCode"] = Value::from(code);
        self.call("Input.dispatchKeyEvent", down);
        self.call("Input.dispatchKeyEvent", json!({"type": "keyUp", "key": key}));
    }

    /// Types a text into the element with the focus.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    /// Clicks in the middle of the element that a selector finds.
    #[track_caller]
    pub fn click(&mut self, selector: &str) {
        let middle = format!(
            "(() => {{ const e = document.querySelector({}); e.scrollIntoView({{block: 'nearest'}}); const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; }})()",
            Value::from(selector)
        );
        let at = self.evaluate(&middle);
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({"type": kind, "x": at[0], "y": at[1], "button": "left", "clickCount": 1});
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// Presses the mouse at the first of these points, moves it along the others, and lets go at the last.
    pub fn drag(&mut self, points: &[(f64, f64)]) {
        let event = |kind: &str, (x, y): (f64, f64), buttons: u8| json!({"type": kind, "x": x, "y": y, "button": "left", "buttons": buttons, "clickCount": 1});
        let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
        self.call("Input.dispatchMouseEvent", event("mousePressed", *first, 1));
        for point in points.iter().skip(1) {
            self.call("Input.dispatchMouseEvent", event("mouseMoved", *point, 1));
        }
        self.call("Input.dispatchMouseEvent", event("mouseReleased", *last, 0));
    }

    /// Turns the mouse wheel at a point, by a number of pixels downwards.
    pub fn wheel(&mut self, (x, y): (f64, f64), by: f64) {
        let event = json!({"type": "mouseWheel", "x": x, "y": y, "deltaX": 0, "deltaY": by});
        self.call("Input.dispatchMouseEvent", event);
    }

    /// Returns a picture of the window, as PNG in base64.
    pub fn screenshot(&mut self) -> String {
        self.call("Page.captureScreenshot", json!({"format": "png"}))["data"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Returns the errors and console messages of the page, and its network requests, since it was opened.
    pub fn complaints(&mut self) -> Vec<String> {
        // After this response, all earlier events have arrived.
        self.evaluate("1");
        let mut complaints = Vec::new();
        for event in &self.events {
            let parameters = &event["params"];
            match event["method"].as_str().unwrap_or_default() {
                "Runtime.exceptionThrown" | "Log.entryAdded" => complaints.push(parameters.to_string()),
                "Runtime.consoleAPICalled" => complaints.push(parameters["args"].to_string()),
                "Network.requestWillBeSent" => {
                    let url = parameters["request"]["url"].as_str().unwrap_or_default();
                    if !["file:", "data:", "about:"].iter().any(|scheme| url.starts_with(scheme)) {
                        complaints.push(format!("asks for {url}"));
                    }
                }
                _ => {}
            }
        }
        complaints
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The browser may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
