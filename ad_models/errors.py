"""Every error this package raises on purpose.

AnomalyError
  ConfigError       a parameter is unknown or out of range
  WeightsError      pretrained weights are not available, or are for another network
  NotFittedError    predict, save or export before fit
  ExportError       the algorithm uses operations that a graph cannot hold
  UpdateError       the algorithm cannot learn more images; fit it again
  InputError        an image batch has the wrong shape, type or range
  CheckpointError   a saved file is damaged, or from another algorithm, config or data
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
