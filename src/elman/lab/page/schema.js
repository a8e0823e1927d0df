// Knobs from the server's own bounds: a setting of an ask becomes a range, a choice, a toggle or a line of text.

/** The properties of a JSON schema as {name: {kind, options, min, max, step, value, log}}. */
export function settingsOf(schema) {
  const found = {};
  for (const [name, property] of Object.entries(schema?.properties ?? {})) found[name] = settingOf(resolved(property, schema));
  return found;
}

function resolved(property, schema) {
  if (property.$ref) return { ...property, ...schema.$defs[property.$ref.split("/").at(-1)] };
  const known = property.anyOf?.filter(({ type }) => type !== "null");
  if (known) return { ...property, ...resolved(known[0], schema), optional: property.anyOf.length > known.length };
  if (property.allOf) return { ...property, ...resolved(property.allOf[0], schema) };
  return property;
}

function settingOf(property) {
  const value = property.default;
  const hint = property.description;
  if (property.enum) {
    const options = property.optional ? [null, ...property.enum] : property.enum;
    return { kind: "choice", options, value, hint };
  }
  if (property.const !== undefined) return { kind: "choice", options: [property.const], value: property.const, hint };
  if (property.type === "boolean") return { kind: "toggle", value, hint };
  if (property.type === "integer" || property.type === "number")
    return { kind: "range", value, hint, unset: property.optional ? "unset" : undefined, ...bounds(property) };
  return { kind: "text", value: value ?? "", max: property.maxLength, hint };
}

function bounds(property) {
  const whole = property.type === "integer";
  const max = property.maximum ?? (property.exclusiveMaximum !== undefined ? property.exclusiveMaximum - (whole ? 1 : 0) : 100);
  const above = property.exclusiveMinimum;
  const least = property.minimum ?? (above === undefined ? 0 : above + (whole ? 1 : (max - above) * 1e-6));
  return { min: least, max, step: whole ? 1 : (max - least) / 200, whole };
}

/** Adds a knob for a setting; `look` has its label and what else a person wants: {label, hint, min, max, step, log, options, format}. */
export function knobFor(set, name, setting, look = {}) {
  const spec = { name, label: look.label ?? name.replaceAll("_", " "), ...setting, ...look, value: look.value ?? setting.value };
  const kind = look.kind ?? setting.kind;
  if (spec.log) spec.step = look.step;
  if (kind === "choice") spec.format = (value) => (value === null ? (look.unset ?? "unset") : String(value));
  if (kind === "range") spec.whole = setting.whole ?? false;
  return set[kind](spec);
}
