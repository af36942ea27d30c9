"""The calibrated classifier as scikit-learn knows one: in pipelines, grid searches and cross-validation."""

from decimal import Decimal
from numbers import Integral, Number
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import (
    _check_feature_names,
    _check_n_features,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
    validate_data,
)

from retentionjax.checked import CompanyError, KeyFault
from retentionjax.errors import ConfigError, DataError
from retentionjax.tabular.boosting import BoosterConfig
from retentionjax.tabular.classifier import FOLDS, Classifier, Contributions, fit
from retentionjax.tabular.encoder import Encoder

_SETTINGS = {
    "trees": "n_estimators",
    "depth": "max_depth",
    "learning_rate": "learning_rate",
    "rows_a_tree": "subsample",
    "columns_a_tree": "colsample_bytree",
    "minimum_leaf_weight": "min_child_weight",
    "l2": "reg_lambda",
}
"""Fields of BoosterConfig, and what scikit-learn's and XGBoost's users call them."""


class ChurnClassifier(ClassifierMixin, BaseEstimator):
    """Gradient-boosted trees with isotonic calibration on out-of-fold scores, for two classes.

    Parameters have the names that XGBoost's own estimators give them and the defaults of `BoosterConfig`; `cv` is the
    number of folds of the calibration, fewer if a class has fewer rows. Columns of a DataFrame that hold text or are of
    pandas' category type are categories, which XGBoost splits natively. Missing values, and categories that were not
    there at fitting, have a branch of their own in the trees. A number for `random_state` gives the same trees on
    every machine.

    >>> model = ChurnClassifier(random_state=0).fit(table, left)  # doctest: +SKIP
    >>> model.predict_proba(table)[:, 1]  # P(left), calibrated
    """

    def __init__(
        self,
        n_estimators: Any = BoosterConfig.trees,
        max_depth: Any = BoosterConfig.depth,
        learning_rate: Any = BoosterConfig.learning_rate,
        subsample: Any = BoosterConfig.rows_a_tree,
        colsample_bytree: Any = BoosterConfig.columns_a_tree,
        min_child_weight: Any = BoosterConfig.minimum_leaf_weight,
        reg_lambda: Any = BoosterConfig.l2,
        cv: Any = FOLDS,
        random_state: Any = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.min_child_weight = min_child_weight
        self.reg_lambda = reg_lambda
        self.cv = cv
        self.random_state = random_state

    def __sklearn_tags__(self) -> Tags:
        """Two classes, missing values, categories."""
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_class = False
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        return tags

    def fit(self, X: Any, y: Any) -> "ChurnClassifier":
        """Learns from `X`, [rows, features] or a DataFrame, and the class of each row.

        Raises ValueError if `X` is not a table or `y` does not have two classes, ConfigError for a parameter that is
        out of range, DataError for a value that is neither a finite number nor text.
        """
        frame = self._frame(X, reset=True)
        label = column_or_1d(y, warn=True)
        check_consistent_length(frame, label)
        check_classification_targets(label)
        if (kind := type_of_target(label, input_name="y")) != "binary":
            raise ValueError(f"Only binary classification is supported. The type of the target is {kind}.")
        self.classes_, codes = np.unique(label, return_inverse=True)
        rows = np.bincount(codes)
        if len(rows) < 2 or rows.min() < 2:
            counts = dict(zip(self.classes_.tolist(), rows.tolist(), strict=True))
            raise ValueError(
                f"y: two rows of each class are needed, and of 1 sample or 1 class nothing is learnt: {counts}"
            )
        names = tuple(str(name) for name in frame)
        text = [name for name in names if not pd.api.types.is_numeric_dtype(frame[name])]
        encoder = Encoder(
            tuple(name for name in names if name not in text),
            {name: tuple(_categories(frame[name])) or ("",) for name in text},
            names,
        )
        self.classifier_: Classifier = fit(
            frame,
            codes,
            encoder,
            self._config(),
            seed=int(check_random_state(self.random_state).randint(2**31 - 1)),
            folds=min(self.cv, int(rows.min())),
        )
        return self

    def _config(self) -> BoosterConfig:
        """The settings of the trees. Raises ConfigError naming the parameter, also of `cv`, which is not among them."""
        if isinstance(self.cv, bool) or not isinstance(self.cv, Integral) or self.cv < 2:
            raise ConfigError(f"cv is {self.cv!r}; allowed: a whole number, 2 or more")
        try:
            return BoosterConfig(**{field: getattr(self, name) for field, name in _SETTINGS.items()})
        except CompanyError as error:
            raise CompanyError(KeyFault(_SETTINGS[each.path], each.wrong) for each in error.faults) from None

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """The calibrated probability of each of the two classes, f64[rows, 2]."""
        check_is_fitted(self)
        second = self.classifier_.predict(self._frame(X, reset=False))
        return np.column_stack([1 - second, second])

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """The likelier class of each row."""
        check_is_fitted(self)
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def contributions(self, X: Any) -> Contributions:
        """The log-odds that each feature adds to each row's second class (SHAP values)."""
        check_is_fitted(self)
        return self.classifier_.contributions(self._frame(X, reset=False))

    def _frame(self, X: Any, *, reset: bool) -> pd.DataFrame:
        """The features with text as names; `reset` remembers their number and names, else they must be those."""
        X = X.to_pandas() if hasattr(X, "to_pandas") else X  # a table of Arrow or Polars may hold text, too
        if isinstance(X, pd.DataFrame) and any(not pd.api.types.is_numeric_dtype(kind) for kind in X.dtypes):
            _check_feature_names(self, X, reset=reset)
            _check_n_features(self, X, reset=reset)
            return pd.DataFrame({str(name): _plain(X[name]) for name in X}, index=X.index)
        values = validate_data(self, X, reset=reset, dtype=np.float64, ensure_all_finite="allow-nan")
        names = getattr(self, "feature_names_in_", [f"x{place}" for place in range(values.shape[1])])
        return pd.DataFrame(values, columns=names)


def _plain(column: pd.Series) -> pd.Series:
    """A column as numbers, true as 1, or as text; missing values stay. Raises DataError where it is neither."""
    kind = column.dtype
    if isinstance(kind, pd.CategoricalDtype):  # of whatever: categories are told by their text
        return column.astype(object).map(str, na_action="ignore")
    if isinstance(kind, pd.StringDtype):
        return column.astype(object)
    known, is_mixed = column.dropna(), pd.api.types.is_object_dtype(kind)
    if pd.api.types.is_bool_dtype(kind) or (is_mixed and len(known) and known.map(_is_number).all()):
        return column.astype(object).where(column.notna(), np.nan).astype(np.float64)
    if pd.api.types.is_numeric_dtype(kind) or (is_mixed and (known.empty or known.map(_is_text).any())):
        return column
    held = f"{known.iloc[0]!r}" if len(known) else f"{kind}"
    raise DataError(
        f"column {column.name!r} holds {held}; allowed: numbers, true and false, or text; a date is made a number "
        "first, such as days before today"
    )


def _is_number(value: object) -> bool:
    return isinstance(value, Number | Decimal)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _categories(column: pd.Series) -> list[str]:
    """The texts of a column; anything else in it is refused where it is encoded."""
    return sorted({each for each in column if isinstance(each, str)})
