// Readings of a device to what Home Assistant's MQTT discovery wants: one retained message for each sensor.
export const waspi = { encoding: "json" };

const CLASSES = { "°C": "temperature", "%": "humidity", hPa: "pressure", W: "power", kWh: "energy", V: "voltage", lx: "illuminance" };
const slug = (text) => String(text).toLowerCase().replace(/[^a-z0-9]+/g, "_").replace(/^_+|_+$/g, "");

export default function ({ device, sensors }) {
  const id = slug(device ?? "");
  if (!id) throw new RangeError("device must be a name");
  return Object.entries(sensors ?? {}).map(([name, { unit, topic, path = "value" }]) => {
    if (!topic) throw new RangeError(`${name}: topic is missing`);
    return {
      topic: `homeassistant/sensor/${id}/${slug(name)}/config`,
      retain: true,
      payload: {
        name, unique_id: `${id}_${slug(name)}`, state_topic: topic, value_template: `{{ value_json.${path} }}`,
        unit_of_measurement: unit, device_class: CLASSES[unit], state_class: unit === "kWh" ? "total_increasing" : "measurement",
        device: { identifiers: [id], name: device },
      },
    };
  });
}
