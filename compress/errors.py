"""Every exception of the package, and the exit code that each gives a command.

    CompressError                  exit code 2
    ├── InputError                 a file, an argument or an environment that cannot be used
    │   ├── RecipeError            a recipe that is not valid: file, line, field, value, what is allowed
    │   ├── LimitsError            a limits file that is missing or not valid, in the same words
    │   ├── SpaceError             a space of recipes that is missing or not valid, or has a point that is no recipe
    │   ├── WrongBase              a delta applied to a file that it was not made for
    │   ├── WeightsError           weights with a wrong digest, name, shape, type or value
    │   ├── ImageError             an image that cannot be decoded
    │   └── MissingDependency      an optional package that a command needs and that is not installed
    ├── ArtifactError              a .sqz or .sqzd file that is not accepted
    │   ├── CorruptArtifact        damaged, truncated, or no such file at all
    │   │   └── CorruptStream      a coded stream that does not decode to what its header declares
    │   ├── UnsupportedVersion     written by a newer format version
    │   └── LimitExceeded          declares more than the limits allow; refused before memory is taken
    ├── ReleaseError               a place of releases, or a release, that cannot be used, or a version that is there already
    │   ├── PlaceUnreachable       no answer from a place, or none in time
    │   └── NotTrusted             a release that is unsigned, wrongly signed, replaced, or older than was asked for
    ├── RunFolderError             a run folder, or a checkpoint in it, that cannot be written
    ├── TrainingDiverged           a loss or a weight became NaN or infinite, or a net that learns nothing
    └── RankLost                   another process of the same training is gone
    TrainingInterrupted (CompressError)   exit code 130: stopped by a signal or on demand; its checkpoint is written
    GateFailed (CompressError)     exit code 1: an artifact is over a limit, or is not what its encoder makes of it
    ProblemsFound (CompressError)  exit code 1: a set of pictures was looked through, and something is wrong with it
    TargetMissed (CompressError)   exit code 1: the run is complete, the file is kept, the target was missed

Codes: 0 done; 1 judged and missed; 2 bad input, bad usage, or could not judge; 130 interrupted.
"""


class CompressError(Exception):
    """Base of every error that a user can act on. The message says where, which thing, what it is, what was allowed."""

    exit_code = 2


class InputError(CompressError):
    pass


class RecipeError(InputError):
    pass


class LimitsError(InputError):
    pass


class SpaceError(InputError):
    pass


class WrongBase(InputError):
    pass


class WeightsError(InputError):
    pass


class ImageError(InputError):
    pass


class MissingDependency(InputError):
    pass


class ArtifactError(CompressError):
    pass


class CorruptArtifact(ArtifactError):
    pass


class CorruptStream(CorruptArtifact):
    pass


class UnsupportedVersion(ArtifactError):
    pass


class LimitExceeded(ArtifactError):
    pass


class ReleaseError(CompressError):
    pass


class PlaceUnreachable(ReleaseError):
    pass


class NotTrusted(ReleaseError):
    pass


class RunFolderError(CompressError):
    pass


class TrainingDiverged(CompressError):
    pass


class RankLost(CompressError):
    pass


class TrainingInterrupted(CompressError):
    exit_code = 130


class TargetMissed(CompressError):
    exit_code = 1


class GateFailed(CompressError):
    exit_code = 1


class ProblemsFound(CompressError):
    exit_code = 1
