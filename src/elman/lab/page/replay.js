// The connection's interface over recorded events, for a lesson that was exported as one file.

/**
 * `recorded` is [{name, settings, events: [...]}], with settings in full. An ask is answered by the recording whose settings
 * hold all that is asked; what was not recorded is refused, and never guessed.
 */
export function replay(recorded) {
  const running = new Map();

  function ask(name, settings, onEvent = () => {}) {
    running.get(name)?.stop();
    const found = recorded.find((entry) => entry.name === name && holds(entry.settings, settings));
    let stopped = false;
    let finish;
    const done = new Promise((resolve) => (finish = resolve));
    const events = found ? found.events : [];
    const last = found
      ? { event: "end" }
      : { event: "error", message: "These settings were not recorded. Run `elman lab` to try them.", where: null };
    let next = 0;
    function step() {
      if (stopped) return;
      // A long answer is played over about two seconds, so that a curve is seen to grow.
      const upto = events.length > 20 ? next + Math.ceil(events.length / 40) : events.length;
      for (; next < Math.min(upto, events.length); next++) onEvent(events[next]);
      if (next < events.length) return void setTimeout(step, 50);
      onEvent(last);
      finish(last);
    }
    setTimeout(step, 0);
    const handle = {
      done,
      stop() {
        stopped = true;
        finish({ event: "stopped" });
      },
    };
    running.set(name, handle);
    return handle;
  }

  return {
    ask,
    onState(listener) {
      listener({ state: "replay", message: "" });
      return () => {};
    },
    /** All values that were recorded for a setting, in order; none if there is no such setting. */
    values(setting) {
      const all = recorded.filter(({ settings }) => setting in settings).map(({ settings }) => settings[setting]);
      const different = [...new Set(all)];
      return different.every((value) => typeof value === "number") ? different.sort((a, b) => a - b) : different;
    },
  };
}

function holds(settings, asked) {
  return Object.entries(asked).every(([name, value]) => same(settings[name], value));
}

function same(a, b) {
  if (typeof a === "number" && typeof b === "number") return Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(a));
  return JSON.stringify(a) === JSON.stringify(b);
}
