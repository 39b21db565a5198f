// Places of an rp2040js chip that belong to the host: what its user listens with, and what stands for the world outside.
// They are neither saved nor changed by a restore. Those of the default wiring that hold state (the bits of a transfer under
// way) are in the objects around them.

export const CHIP_WIRING = [
  'logger',
  'onBreak',
  'clockListeners',
  'core.blTaken',
  'uart.*.onByte',
  'uart.*.onBaudRateChange',
  'gpio.*.listeners',
  'qspi.*.listeners',
  'spi.*.onTransmit',
  'i2c.*.onStart',
  'i2c.*.onConnect',
  'i2c.*.onWriteByte',
  'i2c.*.onReadByte',
  'i2c.*.onStop',
  'adc.onADCRead',
  'usbCtrl.onUSBEnabled',
  'usbCtrl.onResetReceived',
  'usbCtrl.onEndpointWrite',
  'usbCtrl.onEndpointRead',
  'usbCtrl.connectedDevice',
  // The watchdog.
  'peripherals.262232.onWatchdogTrigger',
] as const;
