"""Every error this package raises on purpose.

AnomalyError
  ConfigError       a parameter is unknown or out of range
  WeightsError      pretrained weights cannot be had, or are of another network
  NotFittedError    predict, save or export before fit
  ExportError       the algorithm does at prediction what a graph cannot hold
  UpdateError       the algorithm cannot learn more images; fit it anew
  InputError        an image batch has the wrong shape, type or range
  CheckpointError   a saved file is damaged, or of another algorithm, config or data
  Cancelled         the caller asked the fit to stop; the last checkpoint is kept
"""


class AnomalyError(Exception): ...


class ConfigError(AnomalyError, ValueError): ...


class WeightsError(AnomalyError, RuntimeError): ...


class NotFittedError(AnomalyError, RuntimeError): ...


class ExportError(AnomalyError, RuntimeError): ...


class UpdateError(AnomalyError, RuntimeError): ...


class InputError(AnomalyError, ValueError): ...


class CheckpointError(AnomalyError, RuntimeError): ...


class Cancelled(AnomalyError): ...
